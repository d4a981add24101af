"""What a reward gains by length alone: its slope, and control of implicit rewards by best and worst answers of equal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def slope(rewards: Floats, lengths: Ints, pools: Ints) -> float:
    """Reward per unit of length among answers to the same prompt: least squares with a level of its own for every pool.

    0 where no pool has answers of two lengths.

    Args:
        rewards: (N,) finite.
        lengths: (N,).
        pools: (N,) number of each row's pool, from 0.
    """
    if len(rewards) == 0:
        return 0.0
    count = np.maximum(np.bincount(pools), 1)
    x, y = (values - (np.bincount(pools, values) / count)[pools] for values in (lengths.astype(np.float64), rewards))
    spread = float((x**2).sum())
    return float((x * y).sum()) / spread if spread > 0 else 0.0


def alpha(rewards: Floats, lengths: Ints, pools: Ints, step: float) -> float:
    """The alpha in {0, step, 2 step, ..., 1} for which best and worst of reward - alpha * length differ least in mean length.

    Per pool the best is the first with the highest value, the worst the first with the lowest; among equally good alphas the
    smallest (Yang et al. 2025, arXiv 2503.04647: one alpha per language).

    Args:
        rewards: (N,) finite.
        lengths: (N,) in characters.
        pools: (N,) pool of each row; rows of a pool lie together.
    """
    if len(rewards) == 0:
        return 0.0
    starts = np.flatnonzero(np.append(True, pools[1:] != pools[:-1]))
    grid = np.append(np.arange(0.0, 1.0, step), 1.0)
    gaps = [abs(_gap(rewards - a * lengths, lengths, starts)) for a in grid]
    return float(grid[int(np.argmin(gaps))])


def _gap(values: Floats, lengths: Ints, starts: Ints) -> float:
    """Mean length of the pools' best minus that of their worst."""
    best, worst = (_first(sign * values, starts) for sign in (1.0, -1.0))
    return float(lengths[best].mean() - lengths[worst].mean())


def _first(values: Floats, starts: Ints) -> Ints:
    """(pools,) first row with its pool's highest value."""
    sizes = np.diff(np.append(starts, len(values)))
    hits = np.flatnonzero(values == np.repeat(np.maximum.reduceat(values, starts), sizes))
    return hits[np.searchsorted(hits, starts)]
