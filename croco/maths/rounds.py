"""How a run is cut into rounds of fresh answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Round:
    """One round; units are what answers are drawn for together: a pool of answers, or a prompt in all its languages."""

    units: list[int]
    """Sorted numbers of the units."""
    passes: float
    """Times its pairs are trained on: above 1 only where a round is longer than an epoch."""
    steps: int
    """Optimiser steps planned, if every pool gives its pairs."""


def places(units: int, epochs: float) -> int:
    """How many units are taken in so many epochs, a part of one as a whole: 100 x 0.07 are 7, whatever binary fractions say."""
    taken = units * epochs
    return round(taken) if math.isclose(taken, round(taken), rel_tol=1e-9) else math.ceil(taken)


def rounds(units: int, pairs: int, batch_size: int, epochs: float, every: int, seed: int) -> list[Round]:
    """The rounds of a run: each takes the units whose pairs fill `every` optimiser steps, the last one what is left.

    Units are drawn without replacement within an epoch, in an order that is a function of the seed.

    Args:
        units: how many there are.
        pairs: that a unit gives at most.
        batch_size: pairs per optimiser step.
        every: optimiser steps in a round.
    """
    total = places(units, epochs)
    size = max(1, round(every * batch_size / pairs))
    order = list(_order(units, total, seed))
    found = []
    for start in range(0, total, size):
        taken = order[start : start + size]
        distinct = sorted(set(taken))
        found.append(Round(distinct, len(taken) / len(distinct), max(1, math.ceil(len(taken) * pairs / batch_size))))
    return found


def _order(units: int, places: int, seed: int) -> Iterator[int]:
    for place in range(places):
        if place % units == 0:
            permutation = np.random.default_rng([seed, place // units]).permutation(units)
        yield int(permutation[place % units])
