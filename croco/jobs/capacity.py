"""What a piece of work holds of a GPU's memory, and whether that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from croco.config import Config
from croco.config.running import TAKEN
from croco.errors import UserError
from croco.jobs.rates import Rates
from croco.jobs.work import Work
from croco.models.shapes import BYTES, TRAINED, Shape
from croco.training.limits import LEAST, RESERVE

CARD = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)G[iI]?B")
USABLE = 0.99  # of a card's 2**30 bytes a GB; measured: 85.0e9 of an H100's 80 * 2**30
BATCH = 1024  # answers that the transformers engine writes together on a GPU, where `engine.batch_size` does not say it
QUANTISED: Mapping[str, float] = {"fp8": 1.0, "bitsandbytes": 0.6, "awq": 0.6, "gptq": 0.6}
"""Bytes a parameter under `quantization`, scales among them."""


WEIGHTS, CACHE, ACTIVATIONS, ADAPTER, BESIDE = "weights", "KV cache", "activations", "adapter, optimiser", "beside"
"""What is held, as a plan calls it. A reference is the same weights without the adapter, and holds nothing of its own."""


@dataclass(frozen=True)
class Hardware:
    """Some equal GPUs of one machine."""

    said: str
    count: int
    size: float
    """Bytes of one that torch may have."""

    def at_least(self, size: float) -> str:
        """What would do, in words."""
        return f"cards of {size / USABLE / 2**30:.0f} GB"


def parse(said: str) -> Hardware:
    """`8x80GB`, or `24GB` for one.

    Raises:
        UserError: it is neither.
    """
    found = CARD.fullmatch(said)
    if found is None or int(found[1] or 1) < 1 or float(found[2]) <= 0:
        raise UserError(f"hardware={said}: is no number of GPUs with their memory, e.g. hardware=8x80GB")
    return Hardware(said, int(found[1] or 1), float(found[2]) * 2**30 * USABLE)


@dataclass(frozen=True)
class Holding:
    """Of one GPU, in bytes by name; and how many GPUs one engine, or the training, takes."""

    parts: Mapping[str, float]
    gpus: int
    notes: tuple[str, ...] = ()
    recomputes: bool = False


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}" if size >= 5e7 else f"{size / 1e9:.2g}"


def engine(stage: str, work: Work, config: Config, hardware: Hardware, rates: Rates) -> Holding:
    """Of an engine that writes, reads or judges.

    Raises:
        UserError: it does not fit; names the key that would help.
    """
    options, prefix = _options(work, config)
    over = gpus(work, config)
    if over > hardware.count:
        raise UserError(
            f"{prefix}.tensor_parallel_size: {stage} wants {over} GPUs, hardware={hardware.said} has {hardware.count}"
        )
    shape, element = work.shape, BYTES.get(work.dtype, 2)
    vllm = config.engine.name == "vllm"
    share = float(options.get("gpu_memory_utilization") or TAKEN) if vllm else 1.0
    context = int(options.get("max_model_len") or shape.context)
    longest = min(work.longest, context)
    one = shape.cache(longest, element) / over
    held = {
        WEIGHTS: shape.parameters * float(QUANTISED.get(str(options.get("quantization")), element)) / over,
        BESIDE: rates.beside * 1e9,
    }
    room = share * hardware.size - sum(held.values())
    if room < one:
        line = (
            f"{stage}: {work.path} takes {_gb(held[WEIGHTS])} GB of weights, {_gb(one)} of KV cache for {longest:,} tokens and "
            f"{_gb(held[BESIDE])} beside them, of {share:g} x {_gb(hardware.size)} GB on each of hardware={hardware.said}"
        )
        raise UserError(f"{line}; {_help(work, hardware, prefix, share, (held[WEIGHTS] + one) * over, held[BESIDE])}")
    whole = shape.cache(context, element) / over
    notes = (
        f"{stage}: vLLM asks room for the whole context of {work.path}, {context:,} tokens ({_gb(whole)} GB), and has "
        f"{_gb(room)}: +{prefix}.max_model_len={longest}",
    )
    short = vllm and work.role != "reads" and room < whole
    cache = room if vllm else min(room, one * (config.engine.batch_size or BATCH))
    return Holding({**held, CACHE: cache}, over, notes if short else ())


def gpus(work: Work, config: Config) -> int:
    """That hold one engine together."""
    options, _ = _options(work, config)
    return int(options.get("tensor_parallel_size") or 1) * int(options.get("pipeline_parallel_size") or 1)


def _options(work: Work, config: Config) -> tuple[Mapping[str, Any], str]:
    """What an engine is told, and the key that says it; another than vLLM takes none."""
    if config.engine.name != "vllm":
        return {}, ""
    if work.key == "judge.path":
        judge = config.judge
        own = {"max_model_len": judge.max_prompt + judge.max_new_tokens, **config.engine.of("judge").given}
        return {**own, **judge.engine_options}, "judge.engine_options"
    role = "translator" if work.key == "translation.model" else "reward" if work.role == "reads" else "policy"
    return config.engine.of(role).given, "engine.options"


def _help(work: Work, hardware: Hardware, prefix: str, share: float, divided: float, beside: float) -> str:
    """The key that would help, where one does.

    Args:
        divided: bytes that several GPUs share.
    """
    count = 2
    while prefix and count <= hardware.count:
        if work.shape.heads % count == 0 and divided / count + beside <= share * hardware.size:
            return f"+{prefix}.tensor_parallel_size={count}"
        count *= 2
    return f"choose a smaller {_smaller_key(work)}, or {hardware.at_least((divided + beside) / share)}"


def _smaller_key(work: Work) -> str:
    return "model.size or model.path" if work.key == "model.path" else work.key


def placed(config: Config, hardware: Hardware) -> Config:
    """The configuration with as many processes for training as there would be on this hardware; see `devices.placed`."""
    trainer = config.trainer
    if trainer.devices == "auto":
        trainer = replace(trainer, devices=hardware.count if config.method.refresh_every is None else 1)
    return replace(config, trainer=trainer)


def training(work: Work, config: Config, hardware: Hardware, rates: Rates) -> Holding:
    """Of the policy's training, as croco/training/trial.py settles it: packs halved before activations are computed again.

    Raises:
        UserError: it does not fit; names the key that would help.
    """
    trainer, model = placed(config, hardware).trainer, config.model
    processes = trainer.processes
    if int(trainer.devices) > hardware.count:
        raise UserError(
            f"trainer.devices={trainer.devices}: hardware={hardware.said} has {hardware.count}; trainer.devices={hardware.count}"
        )
    shape, element = work.shape, BYTES.get(work.dtype, 2)
    sharded = processes if trainer.strategy == "fsdp" else 1
    adapter = shape.adapter(model.lora.r, model.lora.targets) * TRAINED
    fixed = {
        WEIGHTS: shape.parameters * element / sharded,
        ADAPTER: adapter,
        BESIDE: rates.beside * 1e9,
    }
    free = hardware.size - sum(fixed.values())
    room = (1 - RESERVE) * free
    for tokens, recomputes in _tries(config, work):
        kept = _activations(shape, element, tokens, recomputes, config, rates)
        if kept <= room:
            how = "computed again" if recomputes else "kept"
            note = f"training: packs of {tokens:,} tokens, activations {how}"
            return Holding({**fixed, ACTIVATIONS: kept}, int(trainer.devices), (note,), recomputes)
    raise UserError(_no_training(work, config, hardware, fixed, kept / (1 - RESERVE)))


def _tries(config: Config, work: Work) -> Iterator[tuple[int, bool]]:
    """(tokens of a pack, whether activations are computed again), in the order in which they are tried; the largest example is
    taken to be as long as training sees."""
    trainer = config.trainer
    asked = max(trainer.tokens_per_pack, work.longest)
    again = trainer.gradient_checkpointing
    tokens = asked
    while not again:
        yield tokens, False
        if tokens // 2 < max(LEAST, work.longest):
            break
        tokens //= 2
    tokens = asked
    while again is not False:
        yield tokens, True
        if tokens // 2 < work.longest:
            break
        tokens //= 2


def _activations(shape: Shape, element: int, tokens: int, recomputes: bool, config: Config, rates: Rates) -> float:
    if recomputes:
        return float(tokens * shape.recomputed(element))
    compiled = config.trainer.compile is not False and config.trainer.accelerator == "gpu" and config.trainer.packing
    return tokens * shape.activations(element) * (rates.compiled if compiled else 1.0)


def _no_training(work: Work, config: Config, hardware: Hardware, fixed: Mapping[str, float], kept: float) -> str:
    total = sum(fixed.values()) + kept
    line = (
        f"training: {work.path} takes {_gb(fixed[WEIGHTS])} GB of weights, {_gb(fixed[ADAPTER])} for adapter and "
        f"optimiser, and {_gb(kept)} for its smallest pack, of {_gb(hardware.size)} GB on each of hardware={hardware.said}"
    )
    trainer = config.trainer
    if trainer.gradient_checkpointing is False:
        return f"{line}; trainer.gradient_checkpointing=null, or a smaller trainer.tokens_per_pack"
    whole = fixed[WEIGHTS] * (placed(config, hardware).trainer.processes if trainer.strategy == "fsdp" else 1)
    spread = total - fixed[WEIGHTS] + whole / hardware.count
    if hardware.count > 1 and spread <= hardware.size:
        return f"{line}; trainer=fsdp"
    return f"{line}; choose a smaller {_smaller_key(work)}, or {hardware.at_least(total)}"
