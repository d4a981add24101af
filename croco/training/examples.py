"""Examples as token ids: one by one as lists, all together as arrays that may lie in a file and be shared by processes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from croco.errors import UserError

IDS = np.dtype("<i4")


@dataclass(frozen=True)
class Example:
    """A prompt with its answers: (chosen, rejected), or one answer."""

    prompt: list[int]
    answers: tuple[list[int], ...]
    margin: float = 0.0
    """Of a preference: by how much the chosen answer's reward should be above."""
    tied: bool = False
    """Of a preference: neither answer was preferred."""

    def size(self, shared: bool) -> int:
        """Tokens it takes in a forward pass: its prompt once for all answers where it is `shared`, else once for each."""
        prompts = 1 if shared else len(self.answers)
        return prompts * len(self.prompt) + sum(map(len, self.answers))


class Examples(Sequence[Example]):
    """Any number of examples with equally many answers each: 4 bytes a token, and 8 bytes for every part of an example."""

    def __init__(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        margins: np.ndarray | None = None,
        tied: np.ndarray | None = None,
    ) -> None:
        """What the arrays are:

        ids: (T,) int32, of an example its prompt and then its answers.
        starts: (N,) int64, where in them an example begins.
        lengths: (N, 1 + answers) int32, tokens of its prompt and of each answer.
        margins, tied: (N,) float64 and bool; of preferences.
        """
        self.ids, self.starts, self.lengths, self.margins, self.tied = ids, starts, lengths, margins, tied

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Examples:
        """The same examples, in memory; those that are arrays already stay where they are."""
        if isinstance(examples, Examples):
            return examples
        parts = [part for e in examples for part in (e.prompt, *e.answers)]
        width = 1 + len(examples[0].answers) if len(examples) else 1
        lengths = np.array([len(part) for part in parts], np.int32).reshape(-1, width)
        ids = np.fromiter((i for part in parts for i in part), IDS)
        return cls(
            ids,
            starts_of(lengths),
            lengths,
            np.array([e.margin for e in examples], np.float64),
            np.array([e.tied for e in examples], bool),
        )

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice | np.ndarray) -> Examples: ...
    def __getitem__(self, place: int | slice | np.ndarray) -> Example | Examples:
        if isinstance(place, slice | np.ndarray):
            margins, tied = (None if a is None else a[place] for a in (self.margins, self.tied))
            return Examples(self.ids, self.starts[place], self.lengths[place], margins, tied)
        prompt, *answers = (part.tolist() for part in self.parts(place))
        margin = 0.0 if self.margins is None else float(self.margins[place])
        return Example(prompt, tuple(answers), margin, self.tied is not None and bool(self.tied[place]))

    def __iter__(self) -> Iterator[Example]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Example.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Examples) -> Examples:
        """Both, one behind the other; of the same ids where they have the same, else copied."""
        if not len(other) or not len(self):
            return self if len(self) else other
        if self.ids is not other.ids:
            return Examples.of([*self, *other])
        names = ("starts", "lengths", "margins", "tied")
        both = [(getattr(self, name), getattr(other, name)) for name in names]
        return Examples(self.ids, *(None if a is None or b is None else np.concatenate([a, b]) for a, b in both))  # type: ignore[arg-type]

    def parts(self, place: int) -> list[np.ndarray]:
        """An example's prompt and answers, not copied."""
        start, found = int(self.starts[place]), []
        for length in self.lengths[place].tolist():
            found.append(self.ids[start : start + length])
            start += length
        return found

    def sizes(self, shared: bool) -> np.ndarray:
        """(N,) int64: see `Example.size`."""
        lengths = self.lengths.astype(np.int64)
        prompts = 1 if shared else lengths.shape[1] - 1
        return prompts * lengths[:, 0] + lengths[:, 1:].sum(1)

    @functools.cached_property
    def keys(self) -> list[tuple[bytes, ...]]:
        """Each answer's `key`, by example."""
        found = []
        for place in range(len(self)):
            prompt, *answers = self.parts(place)
            begun = _begun(prompt)
            found.append(tuple(_ended(begun, answer) for answer in answers))
        return found

    def save(self, folder: Path) -> None:
        """For `load` in another process: ids that lie in a file stay there, and are named."""
        folder.mkdir(parents=True, exist_ok=True)
        file = getattr(self.ids, "filename", None)
        if file is None:
            np.save(folder / "ids.npy", self.ids)
        else:
            (folder / "ids.txt").write_text(str(file), encoding="utf-8")
        arrays = {"starts": self.starts, "lengths": self.lengths, "margins": self.margins, "tied": self.tied}
        for name, array in arrays.items():
            if array is not None:
                np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Examples:
        """What `save` has written, mapped into memory."""
        named = folder / "ids.txt"
        if named.is_file():
            ids: np.ndarray = mapped(Path(named.read_text(encoding="utf-8")), IDS)
        else:
            ids = np.load(folder / "ids.npy", mmap_mode="r")
        there = {name: folder / f"{name}.npy" for name in ("starts", "lengths", "margins", "tied")}
        return cls(ids, *(np.load(file) if file.is_file() else None for file in there.values()))  # type: ignore[arg-type]


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """(N,) where examples that lie one behind another begin, from their parts' lengths."""
    sizes = lengths.astype(np.int64).sum(1)
    return np.cumsum(sizes) - sizes


def mapped(file: Path, dtype: np.dtype) -> np.ndarray:
    """A file of one type's values, read as they are asked for.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if file.stat().st_size == 0:  # nothing to map
            return np.zeros(0, dtype)
        return np.memmap(file, dtype, mode="r")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: is damaged ({error}); remove {file.parent}, and the same command makes it again"
        ) from None


def key(prompt: Sequence[int] | np.ndarray, answer: Sequence[int] | np.ndarray) -> bytes:
    """16 bytes that are equal exactly when prompt and answer are, token by token."""
    return _ended(_begun(np.asarray(prompt, np.int64)), np.asarray(answer, np.int64))


def keys_of(examples: Sequence[Example]) -> list[tuple[bytes, ...]]:
    """Each answer's `key`, by example."""
    if isinstance(examples, Examples):
        return examples.keys
    return [tuple(key(e.prompt, answer) for answer in e.answers) for e in examples]


def _begun(prompt: np.ndarray) -> hashlib.blake2b:
    begun = hashlib.blake2b(np.int64(len(prompt)).tobytes(), digest_size=16)
    begun.update(prompt.astype(np.int64).tobytes())
    return begun


def _ended(begun: hashlib.blake2b, answer: np.ndarray) -> bytes:
    own = begun.copy()
    own.update(answer.astype(np.int64).tobytes())
    return own.digest()
