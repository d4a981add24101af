"""Several systems judged against one baseline on the same questions: win rates as they are, at equal length and at equal style.

Beside one another stand the plain rate, LC-minimal (croco/maths/winrate.py), AlpacaEval's length control and Arena-Hard's style
control (croco/maths/controlled.py), each under its name; what has no texts has no controlled rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from croco.maths import controlled, statistics, winrate
from croco.maths.controlled import Gamed
from croco.maths.statistics import Interval
from croco.show.tables import Table

Floats = NDArray[np.float64]
GIVEN, JOINT, NONE = "given", "fitted over the other systems", "none: one system alone"


class Judged(Protocol):
    """What is needed of a judged answer; see croco/exchange/annotations.py."""

    @property
    def system(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def texts(self) -> tuple[str, str] | None: ...


@dataclass(frozen=True)
class Settings:
    """How rates are told."""

    resamples: int
    confidence: float
    gamed: Sequence[str] = ()
    """Systems that are the baseline made longer or shorter: they are fitted along, and not ranked."""


@dataclass(frozen=True)
class Row:
    """One system."""

    system: str
    questions: int
    rate: Interval
    p: float
    """Of one half, by sign flips, Holm-adjusted over the systems."""
    minimal: Interval | None
    alpaca: Interval | None
    style: Interval | None
    characters: tuple[float, float] | None
    """Of an answer, the system's and the baseline's."""


@dataclass(frozen=True)
class Board:
    """The rows, best first, and where difficulties came from."""

    rows: list[Row]
    difficulty: str


class _Table:
    """Scores and texts as arrays of (systems, questions); NaN where a system was not judged."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        self.systems = list(dict.fromkeys(row.system for row in judged))
        self.questions = list(dict.fromkeys(row.question for row in judged))
        place = {question: column for column, question in enumerate(self.questions)}
        shape = len(self.systems), len(self.questions)
        self.scores: Floats = np.full(shape, np.nan)
        self.lengths: Floats = np.full((*shape, 2), np.nan)
        self.styles: Floats = np.full((*shape, len(controlled.STYLES)), np.nan)
        for row in judged:
            at = self.systems.index(row.system), place[row.question]
            self.scores[at] = row.score
            if row.texts is not None:
                self.lengths[at] = [len(text) for text in row.texts]
                self.styles[at] = controlled.style_of(*row.texts)

    @property
    def differences(self) -> Floats:
        return self.lengths[..., 0] - self.lengths[..., 1]


def build(
    judged: Sequence[Judged],
    settings: Settings,
    difficulty: Mapping[str, float] | None = None,
    gamed: Sequence[Mapping[str, float]] = (),
) -> Board:
    """Rows of every system.

    Args:
        difficulty: by question, where it is given; else it is fitted over the other systems.
        gamed: rows of AlpacaEval's gamed systems (`preference`, `std_delta_len`, `instruction_difficulty`).
    """
    table = _Table(judged)
    known = None
    if difficulty is not None:
        # AlpacaEval's difficulties are by a question's place in its evaluation set.
        places = enumerate(table.questions)
        known = np.array([difficulty.get(question, difficulty.get(str(place), 0.0)) for place, question in places])
    ranked = [place for place, system in enumerate(table.systems) if system not in settings.gamed]
    rows = [_row(table, place, settings, known, gamed) for place in ranked]
    adjusted = statistics.holm([row.p for row in rows])
    rows = [Row(**{**vars(row), "p": p}) for row, p in zip(rows, adjusted, strict=True)]
    told = GIVEN if known is not None else JOINT if len(table.systems) > 2 else NONE
    return Board(sorted(rows, key=lambda row: -row.rate.mean), told)


def _row(
    table: _Table, place: int, settings: Settings, known: Floats | None, given: Sequence[Mapping[str, float]]
) -> Row:
    there = ~np.isnan(table.scores[place])
    scores, how = table.scores[place][there], (settings.resamples, settings.confidence)
    rate = statistics.bootstrap_mean(scores, *how)
    p = statistics.sign_flip_p(scores - 0.5, settings.resamples)
    if np.isnan(table.lengths[place][there]).any():
        return Row(table.systems[place], len(scores), rate, p, None, None, None, None)
    differences = table.differences[place][there]
    minimal = winrate.rates(scores[None], differences[None], *how).controlled[0]
    difficulty = known if known is not None else _joint(table, place)
    alpaca = None
    if difficulty is not None:
        gamed = _gamed(table, settings.gamed, difficulty, given)

        def controlled_rate(y: Floats, d: Floats, hard: Floats) -> Floats:
            return controlled.alpaca_eval(y, d, hard, gamed)

        alpaca = controlled.interval(controlled_rate, (scores, differences, difficulty[there]), *how)
    styled: Callable[..., Floats] = controlled.style
    style = controlled.interval(styled, (scores, table.styles[place][there]), *how)
    characters = table.lengths[place][there].mean(axis=0)
    means = float(characters[0]), float(characters[1])
    return Row(table.systems[place], len(scores), rate, p, minimal, alpaca, style, means)


def _joint(table: _Table, place: int) -> Floats | None:
    """Difficulties from the other systems, so that a system's own scores are not what it is corrected by."""
    others = [other for other in range(len(table.systems)) if other != place]
    scores = table.scores[others]
    if len(others) < 2 or np.isnan(table.differences[others][~np.isnan(scores)]).any():
        return None
    return controlled.difficulties(scores, np.nan_to_num(table.differences[others]))


def _gamed(
    table: _Table, names: Sequence[str], difficulty: Floats, given: Sequence[Mapping[str, float]]
) -> Gamed | None:
    """The gamed systems' rows, from AlpacaEval's file or from the annotations."""
    if given:
        columns = ([row[name] for row in given] for name in ("preference", "std_delta_len", "instruction_difficulty"))
        scores, lengths, hard = (np.array(column) for column in columns)
        return Gamed(scores, np.tanh(lengths), hard, 2)
    places = [table.systems.index(name) for name in names if name in table.systems]
    if not places:
        return None
    scores, lengths = table.scores[places], controlled.standardised(table.differences[places])
    there = ~np.isnan(scores)
    hard = np.broadcast_to(difficulty, scores.shape)
    return Gamed(scores[there], lengths[there], hard[there], len(places))


def tables(board: Board, baseline: str, settings: Settings) -> list[Table]:
    """Rates in percent, and lengths."""
    note = (
        f"Win rate in % against {baseline}, ties half, {settings.confidence:.0%} intervals by bootstrap over questions; p of one "
        "half by sign flips, Holm-adjusted over the systems. LC-minimal: theta + phi tanh(d/sd). LC (AlpacaEval): with the "
        f"questions' difficulty ({board.difficulty})"
        + (f" and the gamed systems {', '.join(settings.gamed)}" if settings.gamed else "")
        + ". Style: at equal length, headers, lists and bold (Arena-Hard)."
    )
    columns = (
        "system", "questions", "win rate", "low", "high", "p", "LC-minimal", "LC (AlpacaEval)", "LC low", "LC high", "style",
        "characters", "baseline's",
    )  # fmt: skip
    rows = []
    for row in board.rows:
        alpaca = _percent(row.alpaca) if row.alpaca else (None, None, None)
        single = [value.mean * 100 if value else None for value in (row.minimal, row.style)]
        rows.append(
            (row.system, row.questions, *_percent(row.rate), row.p, single[0], *alpaca, single[1])
            + (row.characters or (None, None))
        )
    return [Table(f"Arena: systems against {baseline}", columns, rows, note, 2)]


def _percent(interval: Interval) -> tuple[float, float, float]:
    return 100 * interval.mean, 100 * interval.low, 100 * interval.high
