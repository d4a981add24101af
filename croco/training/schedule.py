"""The learning rate over a training."""

from __future__ import annotations

import math
from collections.abc import Callable


def schedule(kind: str, steps: int, warmup_ratio: float) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: a linear rise over the warm-up, then `kind` down to 0 (or constant)."""
    warmup = math.ceil(warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[kind]

    return factor
