"""What training sees: examples as token ids, and which of them each optimiser step takes."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning
import numpy as np

from croco.maths.rounds import places
from croco.training.examples import Example as Example
from croco.training.examples import Examples as Examples
from croco.training.start import Start


@dataclass(frozen=True)
class Probe:
    """A held-out prompt that training's watch answers."""

    prompt: list[int]
    language: str


@dataclass(frozen=True)
class Material:
    """What a run trains on and watches."""

    train: Sequence[Example]
    validation: Sequence[Example]
    """Of prompts that are not trained on; may be empty."""
    probes: Sequence[Probe] = ()
    start: Start = field(default_factory=Start)


@dataclass(frozen=True)
class Plan:
    """The order of a run, a pure function of its fields: what step s takes never depends on how the run got there."""

    examples: int
    batch_size: int
    epochs: float
    seed: int

    @property
    def steps(self) -> int:
        """Optimiser steps; a last batch may be smaller."""
        return max(1, math.ceil(places(self.examples, self.epochs) / self.batch_size))

    def batch(self, step: int) -> list[int]:
        """Indices of the examples of optimiser step `step`, from 0."""
        place, end = step * self.batch_size, min((step + 1) * self.batch_size, self._places)
        taken: list[int] = []
        while place < end:
            epoch, first = divmod(place, self.examples)
            some = _order(self.seed, epoch, self.examples)[first : first + end - place]
            taken += some.tolist()
            place += len(some)
        return taken

    def tokens(self, answers: Sequence[int] | np.ndarray) -> int:
        """Answer tokens in the loss, over all steps, from those of each example: all of them once an epoch."""
        epochs, rest = divmod(self._places, self.examples)
        sizes = np.asarray(answers, np.int64)
        return int(epochs * sizes.sum() + sizes[_order(self.seed, epochs, self.examples)[:rest]].sum())

    @property
    def _places(self) -> int:
        return places(self.examples, self.epochs)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """An epoch's permutation; a step takes a slice of it, and is in two epochs at most where they are not shorter."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def share(batch: Sequence[int], sizes: Sequence[int] | np.ndarray, world: int) -> list[list[int]]:
    """The examples of each process: longest first, each to the process with the fewest tokens so far."""
    if world == 1:
        return [list(batch)]
    loads = [0] * world
    parts: list[list[int]] = [[] for _ in range(world)]
    for index in sorted(batch, key=lambda i: (-sizes[i], i)):
        lightest = loads.index(min(loads))
        loads[lightest] += sizes[index]
        parts[lightest].append(index)
    return parts


class PlannedData(lightning.LightningDataModule):
    """One Lightning batch is one optimiser step (the same in every process), one epoch the whole run; the global step is the
    position."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def train_dataloader(self) -> _Loader:
        return _Loader(self)


class _Loader:
    """Starts at the trainer's global step; has no state of its own that a prefetched batch could put out of step."""

    def __init__(self, data: PlannedData) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.plan.steps

    def __iter__(self) -> Iterator[list[int]]:
        trainer: Any = self.data.trainer
        for step in range(trainer.global_step, self.data.plan.steps):
            yield self.data.plan.batch(step)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def packs(indices: Sequence[int], sizes: Sequence[int] | np.ndarray, budget: int) -> list[list[int]]:
    """Best-fit decreasing: groups of examples with at most `budget` tokens each; a longer example goes alone.

    Groups are found by the room they have left, in a time that does not depend on how many there are: bit r of a number says
    whether a group has room for exactly r more tokens.
    """
    groups: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(budget + 1)]
    rooms = 0
    places = np.asarray(indices, np.int64)
    counts = np.asarray(sizes, np.int64)[places]
    order = np.lexsort((places, -counts))
    for index, size in zip(places[order].tolist(), counts[order].tolist(), strict=True):
        enough = rooms >> size if size <= budget else 0
        if enough:
            room = size + (enough & -enough).bit_length() - 1
            group = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            groups[group].append(index)
            left = room - size
        else:
            group, left = len(groups), max(0, budget - size)
            groups.append([index])
        by_room[left].append(group)
        rooms |= 1 << left
    return groups
