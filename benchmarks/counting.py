"""What a benchmark counts and measures: floating-point operations, seconds, the device's ceiling, memory at the peak."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of some work, counted operation by operation."""
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    aten = torch.ops.aten

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    def backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
        return int(2.5 * sdpa_flop_count(query, key, value))

    def in_place(_: Any, left: Any, right: Any, **__: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    uncounted = {  # by torch itself
        aten.addmm_: in_place,
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=uncounted) as counter:
        work()
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class Seconds:
    """What some work took: wall-clock time, CPU time of all threads, and the part of the latter that the system took."""

    wall: float
    cpu: float
    system: float


def seconds(work: Callable[[], object], device: str) -> Seconds:
    """How long some work takes, with all it left to the device."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    _wait(device)
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Seconds(time.perf_counter() - wall, user + system, system)


def ceiling(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of wall-clock time of a large square matrix product, the best of three tries."""
    size, times = (8192, 50) if device == "cuda" else (2048, 1)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)

    def products() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    products()
    _wait(device)
    return 2.0 * size**3 * times / min(seconds(products, device).wall for _ in range(3))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(device: str, work: Callable[[], object]) -> float:
    """MB that the work needs beyond what is held before it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
