"""One pack tried before training: what it takes of the device decides how large packs are and whether activations are kept.

An estimate from a layer's shape was 60 % off; a pack of the largest size is the measure that counts, and takes a second.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from croco.config import TrainerConfig
from croco.models.devices import release
from croco.training import compiled
from croco.training.data import Example
from croco.training.forward import Forward
from croco.training.limits import LEAST, RESERVE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """How a run goes on this device."""

    tokens: int
    """In a pack, at most."""
    compiled: bool
    recomputes: bool
    peak: int | None = None
    """Bytes that a full pack took beside the weights; None where it was not tried."""

    def forward(self, forward: Forward) -> Forward:
        return compiled.path(forward) if self.compiled else forward


def settle(
    model: Any,
    forward: Forward,
    hardware: TrainerConfig,
    largest: int,
    batch: int,
    total: int,
    say: Callable[[str], None] = lambda line: None,
) -> Settled:
    """Try a pack as training will make them, and change what does not work, with a word on each change.

    Args:
        largest: tokens of the largest example.
        batch: tokens of an optimiser step at most.
        total: tokens of the whole run.
    """
    compiles = forward.name.startswith("packed") and compiled.wanted(hardware, model, total)
    tokens = hardware.tokens_per_pack
    now = Settled(tokens, compiles, bool(hardware.gradient_checkpointing))
    if model.device.type != "cuda" and not compiles:
        return now
    if compiles:
        compiled.begin(model)
    peak: int | None = None
    while True:
        pack = max(largest, min(now.tokens, batch))
        try:
            free = _free(model)
            peak = _peak(model, forward, pack)
            if peak is None or peak <= (1 - RESERVE) * free:
                break
        except torch.OutOfMemoryError:
            pass
        except Exception as error:
            if not now.compiled:
                raise
            log.warning(
                "trainer.compile: layers run as they are (%s: %s)", type(error).__name__, str(error).splitlines()[0]
            )
            compiled.end(model)
            now = replace(now, compiled=False)
            continue
        smaller = _smaller(now, pack, largest, hardware)
        if smaller is None:
            break  # training will say which example it is that does not fit
        if smaller.recomputes and not now.recomputes:
            recompute(model)
        now = smaller
    if peak is None:
        return now
    way = ("activations computed again" if now.recomputes else "activations kept") + (", compiled" * now.compiled)
    say(f"training: a pack of {pack:,} tokens takes {peak / 1e9:.1f} of {free / 1e9:.0f} GB, {way}")
    return replace(now, peak=peak)


def _smaller(now: Settled, pack: int, largest: int, hardware: TrainerConfig) -> Settled | None:
    """What to try when a pack did not fit: half of it, and at the end computing activations again, of packs as asked for."""
    if pack // 2 >= max(LEAST, largest):
        return replace(now, tokens=pack // 2)
    if not now.recomputes and hardware.gradient_checkpointing is None:
        return replace(now, tokens=hardware.tokens_per_pack, recomputes=True)
    return replace(now, tokens=pack // 2) if pack // 2 >= largest else None


def recompute(model: Any) -> None:
    """Let the backward pass compute activations again."""
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def keep_activations(model: Any) -> None:
    """Let the backward pass find them, as before `recompute`."""
    model.gradient_checkpointing_disable()
    model.disable_input_require_grads()


def _free(model: Any) -> int:
    """Bytes of the device that this process can still take."""
    release()
    if model.device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(model.device)
    return free + torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)


def _peak(model: Any, forward: Forward, tokens: int) -> int | None:
    """Bytes that a forward and a backward pass of a pack take; None where the device does not tell. Leaves no gradients."""
    draw, vocabulary = random.Random(0), model.get_base_model().get_input_embeddings().weight.shape[0]
    ids = [draw.randrange(vocabulary) for _ in range(tokens + 2)]
    half, cut = tokens // 2, tokens // 2 + tokens // 4 + 1
    answers = (ids[half:cut], ids[cut:]) if forward.shares_prompts else (ids[half:-1],)
    example = Example(ids[:half], answers)
    device = model.device
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    try:
        with torch.random.fork_rng(devices=[device] if cuda else []):
            forward(model, [example]).values.sum().backward()
        return torch.cuda.max_memory_allocated(device) - before if cuda else None
    finally:
        model.zero_grad(set_to_none=True)
