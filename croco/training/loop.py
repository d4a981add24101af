"""Runs the LightningModule: resumes, records, and leaves a PEFT adapter."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from croco.config import Config, bind_target
from croco.progress import Progress
from croco.training import packed
from croco.training.data import Example, Plan, PlannedData
from croco.training.policy import Forward, Policy, build_model, reference_logps
from croco.training.watch import verdict

LAST = "last.ckpt"


class Record:
    """metrics.jsonl: one line per optimiser step; a resumed run goes on behind the step it resumes from."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        kept = [row for row in read_metrics(path) if row["step"] < first]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def __call__(self, row: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a metrics file; none when it is not there."""
    if not path.is_file():
        return []
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]


def train(
    config: Config,
    examples: Sequence[Example],
    folder: Path,
    progress: Progress,
    log: Callable[[dict[str, float], int], None],
) -> dict[str, Any]:
    """Train on `examples`, resuming what `folder` holds; leaves `adapter/` and `metrics.jsonl`, returns the last metrics."""
    quieten()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    loss = bind_target("method.loss", config.method.loss)
    settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
    supervised = config.method.trains_on != "pairs"
    model = build_model(config, dropout=config.model.lora.dropout if supervised else 0.0)
    plan = Plan(len(examples), config.method.batch_size, config.method.epochs, config.seed)
    forward = packed.choose(model, config.trainer.packing)
    reference = None
    if not supervised:
        reference = _reference(model, examples, config.trainer.tokens_per_pack, folder, progress, forward)
    checkpoint = folder / "checkpoints" / LAST
    first = _step_of(checkpoint)
    record = Record(folder / "metrics.jsonl", first)
    started = time.monotonic()
    with progress.task("training", plan.steps, "steps", done=first) as task:

        def note(step: int, values: dict[str, float]) -> None:
            row = {"step": step, **values, "seconds": round(time.monotonic() - started, 3)}
            record(row)
            log({f"training/{name}": value for name, value in values.items()}, step)
            task.advance(1)

        module = Policy(model, loss, settings, examples, reference, plan, config, note, forward)
        trainer = _trainer(config, folder)
        trainer.fit(module, PlannedData(plan), ckpt_path=str(checkpoint) if first else None, weights_only=False)
    model.save_pretrained(folder / "adapter", safe_serialization=True)
    metrics = read_metrics(folder / "metrics.jsonl")
    return {"steps": plan.steps, "verdict": verdict(metrics), "last": metrics[-1]}


def _reference(
    model: Any, examples: Sequence[Example], budget: int, folder: Path, progress: Progress, forward: Forward
) -> torch.Tensor:
    """The reference's log-probs, from the folder of an earlier attempt when they are there."""
    file = folder / "reference.npy"
    if file.is_file():
        return torch.from_numpy(np.load(file))
    with progress.task("reference", len(examples), "examples") as task:
        values = reference_logps(model, examples, budget, task.advance, forward)
    temporary = file.with_suffix(".tmp.npy")
    np.save(temporary, values.numpy())
    os.replace(temporary, file)
    return values


def _step_of(checkpoint: Path) -> int:
    """Optimiser steps behind a checkpoint; 0 without one."""
    if not checkpoint.is_file():
        return 0
    return int(torch.load(checkpoint, weights_only=False, map_location="cpu")["global_step"])


def _trainer(config: Config, folder: Path) -> lightning.Trainer:
    hardware = config.trainer
    saver = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="{step}",
        every_n_train_steps=hardware.checkpoint_every,
        save_last=True,
        save_top_k=1,
        enable_version_counter=False,
    )
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.num_nodes,
        strategy=hardware.strategy,
        # The base is loaded in its own type and adapters are float32; any other setting would round the adapters too.
        precision="32-true",
        max_epochs=1,
        callbacks=[saver],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def quieten() -> None:
    """Lightning's and torch's notes about things that are so on purpose go to the log."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
