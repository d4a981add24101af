"""Rewards whose best and worst answers are equally long on average (length control of implicit rewards)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
