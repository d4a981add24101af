"""Pretraining of the small models: one loop over batches of examples, weighted next-token loss, Muon on the matrices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from croco.tiny.examples import Example
from croco.tiny.muon import Muon

POOL = 16  # batches drawn together and sorted by length, so that little is padded


@dataclass(frozen=True)
class Recipe:
    """How long and how fast."""

    steps: int
    batch: int
    muon_lr: float
    adam_lr: float
    end: float = 0.02
    """Share of the learning rates that is left at the last step, after a linear fall."""


def batches(examples: Iterator[Example], size: int, pad: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, weights), both (size, longest); weights are 0 on padding."""
    while True:
        pool = sorted(islice(examples, POOL * size), key=lambda e: len(e[0]))
        order = torch.randperm(POOL).tolist()
        for index in order:
            rows = pool[index * size : (index + 1) * size]
            longest = len(rows[-1][0])
            ids = torch.tensor([r[0] + [pad] * (longest - len(r[0])) for r in rows])
            weights = torch.tensor([r[1] + [0.0] * (longest - len(r[1])) for r in rows])
            yield ids, weights


def train(
    model: Any,
    examples: Iterator[Example],
    recipe: Recipe,
    pad: int,
    seed: int,
    say: Callable[[str], None] = print,
    every: int = 100,
    check: Callable[[int], str] = lambda step: "",
) -> None:
    """Train in place; `check(step)` adds to the progress line."""
    steps = recipe.steps
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    optimisers = _optimisers(model, recipe)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda s: min((s + 1) / 50, 1.0) * (1 - (1 - recipe.end) * s / steps))
        for o in optimisers
    ]
    model.train()
    started, tokens, total = time.monotonic(), 0, 0.0
    for step, (ids, weights) in enumerate(islice(batches(examples, recipe.batch, pad), steps), start=1):
        ids, weights = ids.to(device), weights.to(device)
        logits = model(input_ids=ids[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        loss = (loss * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
        tokens += ids.numel()
        total += loss.item()
        if step % every == 0:
            seconds = time.monotonic() - started
            left = seconds / step * (steps - step)
            say(
                f"step {step}/{steps} loss {total / every:.3f} {tokens / seconds:,.0f} tokens/s {left:,.0f} s left {check(step)}"
            )
            total = 0.0
    model.eval()


def _optimisers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, lr=recipe.muon_lr),
        torch.optim.AdamW(rest, lr=recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
