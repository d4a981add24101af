"""Paired comparisons of two systems on the same prompts. The unit is the prompt: average its samples first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Floats, resamples: int, confidence: float, seed: int = 0) -> Interval:
    """Mean of (n,) values with the percentile interval of its bootstrap over the n units.

    For paired data pass the differences: resampling prompts keeps both systems' answers to a prompt together.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    means = values[rng.integers(n, size=(resamples, n))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def sign_flip_p(differences: Floats, resamples: int, seed: int = 0) -> float:
    """Two-sided p of mean difference 0 by random sign flips (each prompt's two systems exchanged), with the +1 correction."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=(resamples, len(differences)))
    observed = abs(differences.mean())
    flipped = abs((signs * differences).mean(axis=1))
    return float((1 + (flipped >= observed - 1e-12).sum()) / (1 + resamples))


def holm(p_values: list[float]) -> list[float]:
    """Holm-adjusted p-values in the order given (Holm 1979)."""
    order = np.argsort(p_values)
    m = len(p_values)
    adjusted = np.empty(m)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted.tolist()


def win_rate(base: Floats, tuned: Floats) -> float:
    """Share of prompts on which tuned is better, ties half; both (n,)."""
    return float(((tuned > base) + 0.5 * (tuned == base)).mean())
