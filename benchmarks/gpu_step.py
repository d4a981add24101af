"""A training step on a card, beside TRL's."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.counting import ceiling, flops
from benchmarks.gpu_bench import Bench, reported
from benchmarks.on_device import on_device
from benchmarks.training_data import made_pairs
from croco.training.data import Example

PAIRS = 16  # of a step, so that TRL's largest micro-batch is full


BATCHES = 2


def step(bench: Bench, shape: str, most: float) -> None:
    """A training step, ours and TRL's: every side is warmed up on the very batches it is timed on, and is given the reference."""
    from benchmarks.our_side import Ours, config_of
    from benchmarks.training_sides import as_on_a_gpu, begun

    as_on_a_gpu()
    dtype = "float32" if bench.dry else "bfloat16"
    pairs = 2 if bench.dry else PAIRS
    with tempfile.TemporaryDirectory() as scratch, on_device(shape, Path(scratch), bench.device) as made:
        folder = Path(scratch)
        examples = made_pairs(pairs * BATCHES, made.config.vocab_size, "euro")
        known = torch.full((2, len(examples)), -1000.0, dtype=torch.float64)
        top = ceiling(bench.device, getattr(torch, dtype))

        def ours(*settings: str) -> Callable[[], Any]:
            config = config_of(folder, dtype, *(f"trainer.{setting}" for setting in settings))
            return lambda: begun(Ours(config, {}, examples, known))

        def trl(**settings: Any) -> Callable[[], Any]:
            from benchmarks.trl_side import TRL

            return lambda: begun(TRL(config_of(folder, dtype), {}, folder, reference=known, **settings))

        sides = {
            "croco, layers not compiled": ours("compile=false"),
            "croco": ours("compile=true"),
            "TRL, micro-batch 4": trl(micro_batch=4, checkpointing=False),
            "TRL, micro-batch 8": trl(micro_batch=8, checkpointing=False),
            "TRL, micro-batch 8, Liger": trl(micro_batch=8, checkpointing=False, use_liger_kernel=True),
            "TRL, micro-batch 4, Liger": trl(micro_batch=4, checkpointing=False, use_liger_kernel=True),
            "TRL, micro-batch 2": trl(micro_batch=2, checkpointing=False),
            "TRL, micro-batch 16, Liger": trl(micro_batch=16, checkpointing=False, use_liger_kernel=True),
            "croco, packs of 4,096": ours("compile=true", "tokens_per_pack=4096"),
            "croco, packs of 16,384": ours("compile=true", "tokens_per_pack=16384"),
            "TRL, micro-batch 1": trl(micro_batch=1, checkpointing=False),
            "TRL, micro-batch 16": trl(micro_batch=16, checkpointing=False),
            "croco, recomputed": ours("compile=true", "gradient_checkpointing=true"),
            "TRL, default": trl(micro_batch=1, checkpointing=True),
        }
        if bench.dry:
            sides = {name: sides[name] for name in ("croco, layers not compiled", "TRL, micro-batch 2")}
        sides = {name: side for name, side in sides.items() if not bench.sides or name in bench.sides}
        counted: list[int] = []
        best: dict[str, float] = {}
        until = time.monotonic() + most
        for name, make in sides.items():
            if not bench.dry and (time.monotonic() > until or not bench.has(15)):
                bench.row(f"A training step: {shape}", side=name, error="no time left")
                continue
            with reported(bench, f"A training step: {shape}", name):
                _side(bench, shape, name, make, examples, counted, best, top)
            bench.free()


def _side(
    bench: Bench,
    shape: str,
    name: str,
    make: Callable[[], Any],
    examples: list[Example],
    counted: list[int],
    best: dict[str, float],
    top: float,
) -> None:
    """One side's row. The sides not compiled count the operations that the compiled ones do, too."""
    side, pairs = make(), len(examples) // BATCHES
    batches = [list(range(pairs * n, pairs * (n + 1))) for n in range(BATCHES)]

    def work(places: Sequence[int]) -> Callable[[], float]:
        return lambda: side.step([examples[i] for i in places], places)

    cold, peaks = zip(*(bench.peak(work(places)) for places in batches), strict=True)
    times = [[bench.took(work(places)) for _ in range(1 if bench.dry else 3)] for places in batches]
    each = [min(some) for some in times]
    if name == "croco, layers not compiled":
        counted[:] = [flops(work(places)) + _attention_flops(side, examples, places) for places in batches]
    share = (
        [count / took / top for count, took in zip(counted, each, strict=True)] if "croco" in name and counted else []
    )
    tokens = [sum(e.size(shared=False) for e in examples[pairs * n : pairs * (n + 1)]) for n in range(BATCHES)]
    best[name] = statistics.mean(each) / pairs
    fastest = {side: took for side, took in best.items() if side.startswith("TRL")}
    bench.row(
        f"A training step: {shape}",
        side=name,
        **{"ms a pair": f"{1e3 * best[name]:.1f}", "cold": f"{1e3 * statistics.mean(cold) / pairs:.0f}"},
        **{"tokens/s": f"{statistics.mean(n / t for n, t in zip(tokens, each, strict=True)):,.0f}"},
        **{"of ceiling": f"{statistics.mean(share):.1%}" if share else ""},
        **{"GB above weights": f"{max(peaks):.1f}"},
        more=getattr(side, "how", ""),
        **{"of the fastest TRL": f"{min(fastest.values()) / best[name]:.2f}x" if fastest else ""},
    )
    if name in ("croco", "croco, layers not compiled") and not bench.dry:
        with reported(bench, f"Where the time goes: {shape}", name):
            profiled(bench, shape, name, work(batches[0]), each[0])


def _attention_flops(side: Any, examples: list[Example], places: Sequence[int]) -> int:
    """Of the kernel, which the counter does not know: two products over the pairs of tokens that see one another, and 2.5 times
    that for the backward pass. The call per segment is counted as it is."""
    from croco.training.packed import lay_out

    if side.model.device.type != "cuda":
        return 0
    text = side.model.get_base_model().config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    seen = 0
    for start, stop, prompt_start, prompt_stop in lay_out([examples[i] for i in places]).segments:
        own = stop - start
        seen += own * (own + 1) // 2 + own * (prompt_stop - prompt_start)
    return int(3.5 * 4 * size * text.num_attention_heads * text.num_hidden_layers * seen)


KINDS = {  # what a kernel's name tells; the first that fits, since an attention kernel is made of cutlass's parts
    "attention": ("flash", "fmha", "attention"),
    "matrix products": ("gemm", "nvjet", "cutlass", "cublas", "splitk"),
    "element by element, fused": ("triton",),
    "copies": ("memcpy",),
}


def profiled(bench: Bench, shape: str, name: str, work: Callable[[], object], wall: float) -> None:
    """Kernel time of a step by kind."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        bench.took(work)
    device = torch.autograd.DeviceType.CUDA
    events = [e for e in seen.key_averages() if e.device_type == device and e.self_device_time_total > 0]
    kernels = [e for e in events if not e.key.startswith("Optimizer.")]  # a mark around kernels that are there, too
    total = sum(e.self_device_time_total for e in kernels)
    kinds: dict[str, float] = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in kernels:
        kind = next((k for k, marks in KINDS.items() if any(m in event.key.lower() for m in marks)), "other")
        kinds[kind] += event.self_device_time_total
    bench.row(
        f"Where the time goes: {shape}",
        side=name,
        **{
            "step, ms": f"{1e3 * wall:.0f}",
            "kernels, ms": f"{total / 1e3:.0f}",
            "launches": sum(e.count for e in kernels),
        },
        **{kind: f"{taken / total:.0%}" for kind, taken in kinds.items()},
    )
    for event in sorted(kernels, key=lambda e: -e.self_device_time_total)[:25]:
        print(f"    {event.self_device_time_total / 1e3:9.2f} ms x{event.count:6d} {event.key[:150]}", flush=True)
