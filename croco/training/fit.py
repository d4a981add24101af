"""Runs the LightningModule in one process (of one or of several): resumes, records, watches, and leaves a PEFT adapter."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException

from croco.config import Config, bind_target, seeds
from croco.engines.holder import EngineHolder
from croco.errors import UserError
from croco.training import kept, loaded, metrics, reward_model, tensors, trial
from croco.training.data import Material, Plan, PlannedData
from croco.training.loaded import Loaded
from croco.training.look import Watch
from croco.training.policy import Policy
from croco.training.reference import _Reference
from croco.training.rewards import RewardModel
from croco.training.rewards import choose as choose_rewards
from croco.training.start import begin, save_moments
from croco.training.verdict import verdict

LAST = "checkpoints/last.ckpt"


def fit(
    config: Config,
    material: Material,
    folder: Path,
    store: Path,
    note: Callable[[metrics.Row], None],
    say: Callable[[str], None],
    engines: EngineHolder | None = None,
) -> None:
    """Train to the end of the plan, from the last checkpoint in `folder` where there is one; `note` takes each step's row, and
    `engines` keeps the policy for the next round."""
    quieten()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    loss = bind_target("method.loss", config.method.loss)
    settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
    rewards = config.method.trains_on == "preferences"
    cached = config.trainer.cache_reference and config.method.trains_on == "pairs"
    if rewards:
        model = reward_model.build(config)
        held = Loaded(model, choose_rewards(model, config.trainer))
        begin(model, material.start)
    else:
        held = loaded.policy(config, material.start, engines)
    plan = Plan(len(material.train), config.method.batch_size, config.method.epochs, seeds.of_data(config))
    settled = _settled(config, held, material, say)
    forward = settled.forward(held.forward)
    first = step_of(folder)
    module = (RewardModel if rewards else Policy)(
        held.model,
        loss,
        settings,
        material.train,
        plan,
        config,
        record=_recorder(config, folder, first, material, note),
        forward=forward,
        watch=Watch(config, material, forward),
        start=material.start,
        tokens_per_pack=settled.tokens,
        prepare=_Reference(config, material, forward, store, say) if cached else lambda policy: None,
    )
    total = material.start.step + plan.steps + material.start.later
    trainer = _trainer(
        config, folder, Keep(folder, kept.steps(config.evals.checkpoints, total), config.trainer.checkpoint_every)
    )
    with _interruptible():
        trainer.fit(module, PlannedData(plan), ckpt_path=str(folder / LAST) if first else None, weights_only=True)
    module.save(folder)
    if material.start.later and trainer.is_global_zero:
        save_moments(trainer.optimizers[0], folder)
    held.model.zero_grad(set_to_none=True)
    held.settled = replace(settled, tokens=module.tokens_per_pack)  # which may have been halved on the way


def _settled(config: Config, held: Loaded, material: Material, say: Callable[[str], None]) -> trial.Settled:
    """What the device has room for. Several processes take the configuration's word: they would have to agree."""
    hardware, method = config.trainer, config.method
    if hardware.processes > 1:
        return trial.Settled(hardware.tokens_per_pack, False, bool(hardware.gradient_checkpointing))
    sizes = held.forward.sizes(material.train)
    total, largest = int(sizes.sum() * method.epochs), np.sort(sizes)[-method.batch_size :]
    return held.settle(hardware, int(largest[-1]), int(largest.sum()), total, say)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C stays a KeyboardInterrupt: Lightning makes `sys.exit(1)` of it, which is a failure, and ignores the next one."""
    handler = signal.getsignal(signal.SIGINT) or signal.default_int_handler
    try:
        yield
    except SystemExit as ended:
        told = ended.__context__ if isinstance(ended.__context__, KeyboardInterrupt) else None
        if told is None and not isinstance(ended, SIGTERMException):
            raise
        signal.signal(signal.SIGINT, handler)
        if told is None:  # its own handler took SIGTERM; ours is back, and says what it means
            signal.raise_signal(signal.SIGTERM)
        raise told or KeyboardInterrupt from ended


def step_of(folder: Path) -> int:
    """Optimiser steps behind the last checkpoint; 0 without one.

    Raises:
        UserError: it is none: cut, of other content, or holding code, which is not run.
    """
    checkpoint = folder / LAST
    if not checkpoint.exists():
        return 0
    try:
        return int(torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)["global_step"])
    except Exception as error:  # of a file of any content: torch's, zip's, pickle's and the system's own, of many kinds
        raise UserError(
            f"{checkpoint}: not a checkpoint of this training ({type(error).__name__}); remove it, and the same command "
            "trains from the first step"
        ) from None


def _recorder(
    config: Config, folder: Path, first: int, material: Material, note: Callable[[metrics.Row], None]
) -> Callable[[int, dict[str, float]], None]:
    """What becomes of a step's figures: a line of metrics.jsonl, and the end of a run that has collapsed."""
    record: metrics.Record | None = None
    started = last = time.monotonic()

    def take(step: int, values: dict[str, float]) -> None:
        """A step's figures."""
        nonlocal record, last
        if record is None:  # in the first process only
            metrics.go_on(folder, material.start.before)
            record = metrics.Record(folder, material.start.step + first)
        now = time.monotonic()
        row = {"step": step, **values, "step_seconds": round(now - last, 4), "seconds": round(now - started, 3)}
        last = now
        record(row)
        note(row)
        if config.trainer.stop_collapsed and verdict(record.rows) == "collapsed":
            raise UserError(
                f"training: the policy has collapsed at step {step + 1} (chosen answers are at "
                f"{row['chosen_against_reference'] / row['chosen_tokens']:+.2f} nats per token against the reference); lower "
                "method.learning_rate, or trainer.stop_collapsed=false to go on"
            )

    return take


class Keep(lightning.Callback):
    """Leaves the adapters of some optimiser steps beside the last one, and lets nothing be kept that computes no numbers."""

    def __init__(self, folder: Path, steps: Sequence[int], every: int) -> None:
        self.folder, self.steps, self.every = folder, steps, every

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *batch: Any) -> None:
        """Behind each optimiser step, before Lightning writes a checkpoint of it; raises UserError of one that is not sound."""
        step = pl_module.start.step + trainer.global_step
        if step in self.steps or trainer.global_step % self.every == 0 or trainer.global_step == pl_module.plan.steps:
            pl_module.check_sound(batch[1][0])  # Lightning's own checkpoint is written behind this
        if step in self.steps:
            target = self.folder / kept.folder(step)
            written = target.with_name(f".{target.name}.tmp")
            if trainer.is_global_zero:
                shutil.rmtree(written, ignore_errors=True)
            pl_module.save_adapter(written)
            if trainer.is_global_zero:
                shutil.rmtree(target, ignore_errors=True)  # of an attempt that was killed behind this step
                os.replace(written, target)


def _trainer(config: Config, folder: Path, keep: Keep) -> lightning.Trainer:
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
        strategy=_strategy(config),
        # The base is loaded in its own type and adapters are float32; any other setting would round the adapters too.
        precision="32-true",
        max_epochs=1,
        callbacks=[keep, saver],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        # One process is one, also as a task of several in a SLURM step, which Lightning would take for a part of its own.
        plugins=[
            tensors.Checkpoints(),
            *([LightningEnvironment()] if hardware.processes == 1 else []),
        ],
        default_root_dir=folder,
    )


def _strategy(config: Config) -> Any:
    if config.trainer.strategy != "fsdp":
        return config.trainer.strategy
    from lightning.pytorch.strategies import ModelParallelStrategy

    return ModelParallelStrategy(
        data_parallel_size=config.trainer.processes, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def quieten() -> None:
    """Lightning's and torch's notes about things that are so on purpose go to the log."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
