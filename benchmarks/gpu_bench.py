"""What the parts of the GPU benchmark share: rows, clocks, and what becomes of an error."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent


Row = dict[str, Any]


class Bench:
    """What a part is told, and where its rows go."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.dry, self.lines, self.sides = arguments.dry, arguments.lines, arguments.sides
        self.device = "cpu" if self.dry else "cuda"
        self.until = time.monotonic() + arguments.seconds

    def row(self, table: str, **cells: Any) -> None:
        print(f"[{table}]", cells, flush=True)
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"table": table, "cells": cells}) + "\n")

    def has(self, seconds: float) -> bool:
        return self.dry or self.until - time.monotonic() > seconds

    def wait(self) -> None:
        if not self.dry:
            torch.cuda.synchronize()

    def took(self, work: Callable[[], object]) -> float:
        """Seconds of wall-clock time, with what the device still had to do."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def free(self) -> None:
        gc.collect()
        if not self.dry:
            torch.cuda.empty_cache()

    def peak(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds, and GB beside what was held before."""
        if self.dry:
            return self.took(work), 0.0
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds = self.took(work)
        return seconds, (torch.cuda.max_memory_allocated() - before) / 1e9


@contextlib.contextmanager
def reported(bench: Bench, table: str, *what: str) -> Iterator[None]:
    """What goes wrong within it becomes a row, with its traceback on the screen."""
    try:
        yield
    except Exception as error:
        import traceback

        traceback.print_exc()
        bench.free()
        line = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]
        bench.row(table, **dict(zip(("model", "way", "more"), what, strict=False)), error=line)
