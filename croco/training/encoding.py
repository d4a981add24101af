"""Rows become examples: once, on all cores, kept as two files that every process of every run on them maps into memory.

    <root>/encoded/<address>/
        rows.bin     a record per row: why it is left out (0: it is not), how many of its answers were cut, and its parts' tokens
        ids.bin      int32, of every example its prompt and then its answers
        about.json   written last: what the rows were

The address is the hash of where the rows come from, of the tokenizer and its template, and of `model.max_length`; so runs that
differ in loss, rate, seed or hardware share what one of them has made, and a killed one goes on behind the last row.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from croco.artifacts import locks, refusals
from croco.artifacts.records import Message
from croco.artifacts.store import address, write_atomically
from croco.errors import UserError
from croco.language import text
from croco.show.progress import Progress
from croco.training.examples import IDS, Examples, mapped, starts_of
from croco.training.rows import Answer, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LEFT_OUT = ("prompt too long", "identical after the cut")
BLOCK = 512  # rows that are encoded together
VERSION = 1
Asked = tuple[list[Message], tuple[Answer, ...]]
Block = tuple[list[np.ndarray], np.ndarray]
"""The parts of a block's examples, and a `record` of each row."""


def record(answers: int) -> np.dtype:
    """What rows.bin holds of a row with so many answers."""
    return np.dtype([("why", "u1"), ("cut", "u1"), ("lengths", "<i4", (1 + answers,))])


@dataclass(frozen=True)
class Encoded:
    """Rows as examples."""

    ids: np.ndarray
    rows: np.ndarray
    """(rows,) of `record`."""
    left_out: tuple[str, ...] = LEFT_OUT
    """Why rows are left out, from 1."""

    def kept(self, some: np.ndarray) -> np.ndarray:
        """Those of some rows that are examples."""
        return some[self.rows["why"][some] == 0]

    def examples(self, some: np.ndarray | None = None) -> tuple[Examples, Counter[str]]:
        """Those of some rows (their numbers, ascending; None: all), and how many answers of these were cut or rows left out."""
        every = np.arange(len(self.rows)) if some is None else some
        starts, asked = starts_of(self.rows["lengths"]), self.rows[every]
        kept = self.kept(every)
        counts = Counter({"answers cut": int(asked["cut"].sum(dtype=np.int64))})
        for code, reason in enumerate(self.left_out, start=1):
            counts[reason] = int((asked["why"] == code).sum())
        return Examples(self.ids, starts[kept], self.rows["lengths"][kept]), +counts


def encode(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Asked],
    max_length: int,
    may_be_empty: bool = False,
) -> tuple[Examples, Counter[str]]:
    """Examples in the order of the rows, and how many answers were cut at `max_length` (prompt plus answer) or dropped.

    An example whose prompt alone fills `max_length`, or whose two answers are the same after the cut, teaches nothing and is
    dropped.

    Args:
        rows: prompts with their answers; a text is encoded and closed, ids are what is trained on.

    Raises:
        UserError: nothing is left, and `may_be_empty` is false.
    """
    made = [_block(tokenizer, block, max_length) for block in _blocks(rows)]
    ids = np.concatenate([part for parts, _ in made for part in parts] or [np.zeros(0, IDS)])
    answers = len(rows[0][1]) if rows else 1
    told = np.concatenate([records for _, records in made] or [np.zeros(0, record(answers))])
    examples, counts = Encoded(ids, told).examples()
    if not may_be_empty:
        check(examples, counts, max_length)
    return examples, counts


def check(examples: Examples, counts: Mapping[str, int], max_length: int) -> None:
    """Raises UserError where nothing is left to train on."""
    if not len(examples):
        raise UserError(f"training: no example is left ({dict(counts)}); raise model.max_length={max_length}")


def _blocks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    block: list[Any] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _block(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Asked], max_length: int) -> Block:
    prompts = text.prompts_ids(tokenizer, [messages for messages, _ in rows])
    texts = [answer.strip() for _, answers in rows for answer in answers if isinstance(answer, str)]
    of_texts = iter(text.answers_ids(tokenizer, texts) if texts else [])
    parts: list[np.ndarray] = []
    told = np.zeros(len(rows), record(len(rows[0][1])))
    for row, (_, answers), prompt in zip(told, rows, prompts, strict=True):
        whole = [np.asarray(next(of_texts) if isinstance(answer, str) else answer, IDS) for answer in answers]
        if len(prompt) >= max_length:
            row["why"] = 1
            continue
        cut = [ids[: max_length - len(prompt)] for ids in whole]
        row["cut"] = sum(len(a) < len(b) for a, b in zip(cut, whole, strict=True))
        if len({ids.tobytes() for ids in cut}) < len(cut):
            row["why"] = 2
            continue
        example = [np.asarray(prompt, IDS), *cut]
        row["lengths"] = list(map(len, example))
        parts += example
    return parts, told


@dataclass(frozen=True)
class Source:
    """Rows that are to be encoded, and how."""

    rows: Iterable[Any]
    """Read only where something is lacking."""
    total: int
    answers: int
    """Of each."""
    block: Callable[[list[Any]], Block]
    left_out: tuple[str, ...] = LEFT_OUT
    as_what: Callable[[Any], Iterable[str]] = lambda row: ()
    """What a row's answers are trained on as."""


def of_rows(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[Row], total: int, answers: int, max_length: int
) -> Source:
    """Answers that are trained on as `generated` ids, or as `text`."""
    return Source(
        rows,
        total,
        answers,
        lambda block: _block(tokenizer, [(row.messages, row.answers) for row in block], max_length),
        as_what=lambda row: ("text" if isinstance(a, str) else "generated" for a in row.answers),
    )


class Encodings:
    """The rows of one source under one tokenizer, on disk."""

    def __init__(self, root: Path, depends_on: Mapping[str, Any], upstream: Mapping[str, str]) -> None:
        self.folder = root / "encoded" / address("encoded", VERSION, depends_on, upstream)

    @property
    def about(self) -> dict[str, Any] | None:
        """`rows`, `answers` (of each) and `answers_as` of what is there whole; None where it is not."""
        try:
            said = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
            there = (self.folder / "rows.bin").stat().st_size == said["rows"] * record(said["answers"]).itemsize
            return said if there and (self.folder / "ids.bin").stat().st_size == said["bytes"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def of(self, source: Source, progress: Progress, label: str) -> tuple[Encoded, dict[str, int]]:
        """The rows encoded, now or before, and how many answers are trained on as what."""
        if self.about is None:
            waiting = f"{label}: another run encodes the same rows; waiting"
            with locks.held(self.folder, waiting=lambda: progress.say(waiting)):
                if self.about is None:
                    self._make(source, progress, label)
        said = self.about
        assert said is not None, "was written just now"
        ids, rows = (
            mapped(self.folder / name, kind) for name, kind in (("ids.bin", IDS), ("rows.bin", record(source.answers)))
        )
        return Encoded(ids, rows, source.left_out), said["answers_as"]

    def _make(self, source: Source, progress: Progress, label: str) -> None:
        (self.folder / "about.json").unlink(missing_ok=True)
        done = self._whole(source.answers)
        as_what: Counter[str] = Counter()
        with ExitStack() as open_files:
            ids, told = (open_files.enter_context((self.folder / name).open("ab")) for name in ("ids.bin", "rows.bin"))
            task = progress.task(f"{label}: tokens of the training data", source.total, "rows", done)
            counted = open_files.enter_context(task)
            for number, block in enumerate(_blocks(source.rows)):
                as_what.update(what for row in block for what in source.as_what(row))
                if (number + 1) * BLOCK <= done:
                    continue
                parts, records = source.block(block)
                with refusals.naming(self.folder / "ids.bin"):
                    for part in parts:
                        ids.write(part.tobytes())
                    ids.flush()  # a row's record says that its ids are there
                    told.write(records.tobytes())
                    told.flush()
                counted.advance(len(block))
        size = (self.folder / "ids.bin").stat().st_size
        said = {"rows": source.total, "answers": source.answers, "bytes": size, "answers_as": dict(as_what)}
        write_atomically(self.folder / "about.json", json.dumps(said) + "\n")

    def _whole(self, answers: int) -> int:
        """Rows that a killed run has left, in whole blocks; what stands behind them is cut off."""
        kind = record(answers)
        ids, told = self.folder / "ids.bin", self.folder / "rows.bin"
        for file in (ids, told):
            file.touch()
        rows = np.fromfile(told, kind, told.stat().st_size // kind.itemsize)
        whole = len(rows) // BLOCK * BLOCK
        size = int(rows["lengths"][:whole].sum(dtype=np.int64)) * IDS.itemsize
        if size > ids.stat().st_size:  # the machine went down before they were written
            whole = size = 0
        os.truncate(told, whole * kind.itemsize)
        os.truncate(ids, size)
        return whole
