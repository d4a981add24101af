"""Rows of one artifact, made by every process that is there: cut into units, taken one by one, kept in a journal per process.

What a unit holds depends on the artifact alone, and a row on its key alone, so that rows do not depend on how many took part,
who made which, or how often it was tried. A process that is alone trusts the rows on the disk and nothing else; one that comes
to others takes what they have left, and takes up what is lost on the way.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts.claims import Claims
from croco.artifacts.store import Artifact
from croco.errors import UserError
from croco.show.progress import Progress

FLUSH_SECONDS = 2.0  # a row waits at most this long before it is on the disk
POLL_SECONDS = 2.0  # between looks at what others are at
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Cut:
    """How an artifact's rows are cut into units."""

    name: str
    """Different for different cuts of the same rows."""
    units: int
    keys: Callable[[int], Sequence[Key]]
    """The rows of a unit."""
    columns: tuple[str, ...]
    """Of a row, that are its key."""
    rows: int
    """In all units."""
    measure: str
    """What people call a row."""
    longest: int | None = None
    """Tokens that a row may have; None where it has none."""


@dataclass(frozen=True)
class Terms:
    """How a process takes part."""

    lease: float = 120.0
    """Seconds after which a process on another machine that shows no sign of life is lost."""
    shared: bool = False
    """Others may be at it at the same time; if not, this process holds the artifact's lock."""
    waits: bool = True
    """Stay until all units are finished, and take up what others lose; if not, only while there is something to take."""


def claims_of(output: Artifact) -> Path:
    """Where an artifact's claims lie while it is made."""
    return output.path / "journal" / "claims"


class Work:
    """This process's part; a context.

    Within it, each of `feeds` gives (unit, keys that are missing) as they are asked for, and `add` takes the rows.
    """

    def __init__(
        self,
        output: Artifact,
        cut: Cut,
        terms: Terms,
        progress: Progress,
        label: str,
        take_over: Callable[[set[Key]], int] = lambda done: 0,
    ) -> None:
        """`take_over` may add rows from elsewhere to the journals, given the keys of those there, and says how many."""
        self.output, self.cut, self.terms = output, cut, terms
        self.progress, self.label, self.take_over = progress, label, take_over
        self.claims = Claims(claims_of(output), cut.name, cut.units, terms.lease)
        self._done: set[Key] = set()
        self._read: set[str] = set()  # writers whose rows are known
        self._unit_of: dict[Key, int] = {}  # of rows that are to come
        self._left: dict[int, int] = {}  # rows to come, by unit
        self._waiting: list[Any] = []
        self._complete: list[int] = []  # units whose last row waits
        self._stack = ExitStack()

    def __enter__(self) -> Work:
        self.over = self.output.sealed or self.claims.finished() == self.cut.units
        if self.over:
            return self
        with self.output.lock() if self.terms.shared else nullcontext():
            self.over = self.output.sealed
            if self.over:
                return self
            self.claims.join()
            self._stack.callback(self.claims.leave)
            others = self.claims.others()
            self._read_all_but(others)
            if not others:
                self.claims.clear()
                if taken := self.take_over(self._done):
                    self.progress.say(f"{self.label}: {taken:,} {self.cut.measure} taken over")
                    self._read_all_but(others)
        self.journal = self.output.journal(self.claims.worker)
        self._stack.callback(self.journal.close)
        self._stack.callback(self.flush)
        counted = self.progress.task(self.label, self.cut.rows, self.cut.measure, len(self._done), self.cut.longest)
        self._task = self._stack.enter_context(counted)
        self._flushed = time.monotonic()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.close()
        if self.output.sealed:  # others were faster
            shutil.rmtree(self.output.path / "journal", ignore_errors=True)

    def feeds(self, ahead: bool) -> Iterator[Iterator[tuple[int, list[Key]]]]:
        """Feeds until there is nothing left: each goes on over units with `ahead`, or is one unit.

        For what asks for work only when it has room, `ahead` keeps it from running dry between units.
        """
        while not self.over:
            first = self._take()
            if first is not None:
                yield itertools.chain([first], iter(self._take, None)) if ahead else iter([first])
                self.flush()
                if self._unit_of:
                    raise incomplete(self.output, self.cut.rows - len(self._unit_of), self.cut.rows, self.cut.measure)
                continue
            self.over = not self.terms.waits or self.output.sealed or self.claims.finished() == self.cut.units
            if not self.over:
                time.sleep(min(POLL_SECONDS, self.terms.lease / 4))

    def add(self, row: Any, tokens: int = 0, together: bool = False) -> None:
        """A row that was missing; `tokens` says how long it is. With `together` it waits for the caller's `flush`."""
        self._waiting.append(row)
        unit = self._unit_of.pop(tuple(getattr(row, column) for column in self.cut.columns))
        self._left[unit] -= 1
        if not self._left[unit]:
            self._complete.append(unit)
        self._task.advance(1, tokens=tokens)
        if not together:
            self._flush_in_time()

    def written(self, tokens: int) -> None:
        """So many more tokens are there, of rows that are still to come."""
        self._task.written(tokens)
        self._flush_in_time()

    def _flush_in_time(self) -> None:
        if self._waiting and time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Wait until the disk has all rows; then the units they completed are done."""
        self.journal.append(self._waiting)  # raises where it cannot; then they still wait, and nothing is done
        self._waiting = []
        for unit in self._complete:
            self.claims.finish(unit)
        self._complete = []
        self._flushed = time.monotonic()

    def _take(self) -> tuple[int, list[Key]] | None:
        """A unit of which rows are missing; None when there is none to take."""
        while (taken := self.claims.take()) is not None:
            unit, before = taken
            self._learn(before)
            missing = [key for key in self.cut.keys(unit) if key not in self._done]
            if missing:
                self._unit_of.update(dict.fromkeys(missing, unit))
                self._left[unit] = len(missing)
                self._count_others()
                return unit, missing
            self.claims.finish(unit)
        return None

    def _learn(self, workers: Sequence[str]) -> None:
        """What lost workers have left is not made again."""
        for worker in set(workers) - self._read - {self.claims.worker}:
            self._done |= self._keys_of(row for _, _, row in self.output.journalled(worker))
            self._read.add(worker)

    def _read_all_but(self, others: set[str]) -> None:
        """Learn what those have left that are not there; others' units are finished, or theirs, or lost later."""
        for path in (self.output.path / "journal").glob("*.jsonl"):
            if path.stem not in others:
                self._done |= self._keys_of(row for _, _, row in self.output.journalled(path.stem))
                self._read.add(path.stem)

    def _keys_of(self, rows: Iterator[dict[str, Any]]) -> set[Key]:
        return {tuple(row[column] for column in self.cut.columns) for row in rows}

    def _count_others(self) -> None:
        """Show what all have made together, as well as finished units tell."""
        if self.terms.shared:
            together = self.cut.rows * self.claims.finished() // self.cut.units
            self._task.advance(max(0, together - self._task.done))


def incomplete(output: Artifact, count: int, wanted: int, measure: str) -> UserError:
    """The refusal to seal what is not all there; all units are looked at anew by the next."""
    shutil.rmtree(claims_of(output), ignore_errors=True)
    return UserError(f"{output.path}: {count} of {wanted} {measure} are there; run again to make the rest")
