"""Answers that should not enter a pool: cut off, empty, said before, in a wrong language, stuck in a loop, or such that the
members of an ensemble of reward models disagree on.

The paper filters nothing. Texts pass by once, a row group at a time; what stays is one mask per filter.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from croco.config import FiltersConfig
from croco.language import fidelity
from croco.language.repetition import repeated_share
from croco.pairing.answers import Answers
from croco.pairing.texts import Texts

Mask = NDArray[np.bool_]


def masks(config: FiltersConfig, answers: Answers, texts: Texts) -> tuple[dict[str, Mask], int]:
    """((N,) answers to leave out by reason, answers whose language could not be told); only what is switched on.

    A duplicate is told by a 64-bit hash of its text: two different texts of a prompt are taken for one with chance 2^-64.
    """
    found: dict[str, Mask] = {}
    undecided = 0
    if config.truncated:
        found["truncated"] = answers.truncated
    if config.disagreement is not None:
        assert answers.disagreement is not None, "read with the answers"
        found["disagreement"] = (
            answers.disagreement > config.disagreement
        )  # of one model there is none, and NaN is not above
    if not (config.empty or config.duplicate or config.wrong_language or config.repetition is not None):
        return found, undecided
    empty, loop, wrong = (np.zeros(len(answers), bool) for _ in range(3))
    digest = np.zeros(len(answers), np.int64)
    where = _Positions(answers)
    for source, first, column in texts.stream():
        positions = where.of(source, first, len(column))
        strings = column.filter(pa.array(positions >= 0)).to_pylist()
        positions = positions[positions >= 0]
        empty[positions] = [not text.strip() for text in strings]
        if config.duplicate:
            digest[positions] = [hash(text) for text in strings]
        if config.repetition is not None:
            loop[positions] = [repeated_share(text) > config.repetition for text in strings]
        if config.wrong_language:
            right, unknown = _language(answers, positions, strings)
            wrong[positions] = ~right
            undecided += unknown
    if config.empty:
        found["empty"] = empty
    if config.duplicate:
        found["duplicate"] = _repeats(answers, digest) & ~empty
    if config.wrong_language:
        found["wrong language"] = wrong
    if config.repetition is not None:
        found["repetition"] = loop
    return found, undecided


class _Positions:
    """Where in `Answers` the generations of a source are."""

    def __init__(self, answers: Answers) -> None:
        self._of: list[NDArray[np.int64]] = []
        for source in range(len(answers.sources)):
            here = np.flatnonzero(answers.source == source)
            positions = np.full(int(answers.row[here].max(initial=-1)) + 1, -1, np.int64)
            positions[answers.row[here]] = here
            self._of.append(positions)

    def of(self, source: int, first: int, count: int) -> NDArray[np.int64]:
        """(count,) position of each generation from `first`, -1 where it is not among the answers."""
        known = self._of[source][first : first + count]
        return np.append(known, np.full(count - len(known), -1, np.int64))


def _language(answers: Answers, positions: NDArray[np.int64], strings: list[str]) -> tuple[Mask, int]:
    """((n,) not known to be wrong, number that could not be told)."""
    codes = fidelity.known_languages()
    found = fidelity.identify(strings)
    wanted = [codes[answers.languages[code]] for code in answers.language[positions]]
    right = np.array([f is None or f in w for f, w in zip(found, wanted, strict=True)], bool)
    return right, sum(f is None for f in found)


def _repeats(answers: Answers, digest: NDArray[np.int64]) -> Mask:
    """(N,) whether an earlier answer of the same prompt and language has the same digest."""
    pool = answers.prompt.astype(np.int64) * len(answers.languages) + answers.language
    order = np.lexsort((digest, pool))  # stable: equals stay in pool order
    same = (pool[order][1:] == pool[order][:-1]) & (digest[order][1:] == digest[order][:-1])
    repeats = np.zeros(len(answers), bool)
    repeats[order[1:][same]] = True
    return repeats


def empty_texts(texts: pa.Array) -> int:
    """How many have no text but white space."""
    return sum(not text.strip() for text in texts.to_pylist())
