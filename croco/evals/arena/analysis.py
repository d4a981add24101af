"""From verdicts to win rates: per language, macro, per category; how far the judge agrees with itself; lengths.

A question's score is the mean over its orders of 1 (the candidate won), 0 or 0.5 (a tie). A verdict that cannot be read has no
score, and a question without any has none either; both are counted, and the win rate with 0.5 in their place stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from croco.artifacts.records import Result, Verdict
from croco.errors import UserError
from croco.evals.arena import judging
from croco.maths import controlled, statistics, winrate
from croco.maths.statistics import Interval
from croco.show.tables import Table

NAME = "arena"
MACRO = "macro"
SCORES = {"candidate": 1.0, "tie": 0.5, "opponent": 0.0}

Floats = NDArray[np.float64]
Texts = tuple[Mapping[tuple[str, str], str], Mapping[tuple[str, str], str]]
"""The candidate's answers and the opponent's, by (language, question)."""


@dataclass(frozen=True)
class Settings:
    """How results are summed up."""

    resamples: int
    confidence: float
    candidate: str = "tuned"
    opponent: str = "base"


class Verdicts:
    """Verdicts as arrays: axis 0 language, axis 1 question, axis 2 order (of judging.ORDERS)."""

    def __init__(
        self, verdicts: Sequence[Verdict], languages: Sequence[str], disarmed: Mapping[str, int] | None = None
    ) -> None:
        """Args:
        disarmed: messages of a language in which control tokens were spelt.
        """
        self.languages = list(languages)
        self.disarmed = dict(disarmed or {})
        self.questions = sorted({v.prompt_id for v in verdicts})
        shape = len(self.languages), len(self.questions)
        self.score: Floats = np.full((*shape, 2), np.nan)
        self.asked = np.zeros((*shape, 2), bool)
        self.truncated = np.zeros((*shape, 2), bool)
        self.characters: Floats = np.full((*shape, 2), np.nan)
        """Of candidate and opponent."""
        self.category = np.full(len(self.questions), "", object)
        self._fill(verdicts)
        for language, row in zip(self.languages, self.score, strict=True):
            if np.isnan(row).all():
                raise UserError(
                    f"arena: of the {int(self.asked[self.languages.index(language)].sum())} verdicts in '{language}' not one "
                    "can be read; see `text` in verdicts.parquet, and choose another judge"
                )

    def _fill(self, verdicts: Sequence[Verdict]) -> None:
        row_of = {language: row for row, language in enumerate(self.languages)}
        column_of = {question: column for column, question in enumerate(self.questions)}
        for v in verdicts:
            place = row_of[v.language], column_of[v.prompt_id]
            game = (*place, judging.ORDERS.index(v.order))
            self.asked[game] = True
            self.truncated[game] = v.truncated
            self.score[game] = np.nan if v.winner is None else SCORES[v.winner]
            self.characters[place] = v.candidate_characters, v.opponent_characters
            self.category[place[1]] = v.category or self.category[place[1]]

    @cached_property
    def scores(self) -> Floats:
        """(languages, questions): mean over the orders that could be read, NaN where none could."""
        return _mean_of_orders(self.score)

    @cached_property
    def cautious(self) -> Floats:
        """As `scores`, with 0.5 for what was asked and cannot be read."""
        return _mean_of_orders(np.where(self.asked & np.isnan(self.score), 0.5, self.score))

    @property
    def differences(self) -> Floats:
        """(languages, questions): candidate's characters minus opponent's."""
        return self.characters[..., 0] - self.characters[..., 1]


def _mean_of_orders(score: Floats) -> Floats:
    there = ~np.isnan(score)
    with np.errstate(invalid="ignore"):
        means: Floats = np.where(there, score, 0.0).sum(axis=2) / there.sum(axis=2)
    return means


@dataclass(frozen=True)
class Row:
    """One language's, or the macro average."""

    language: str
    questions: int
    """With a score; the macro row's is the number of different questions."""
    rate: Interval
    p: float
    """Of a win rate of one half, by sign flips; Holm-adjusted over the languages, the macro row's not (it is one test)."""
    controlled: Interval
    phi: float | None
    support: float | None
    style: float | None = None
    """The win rate at equal length and Markdown (croco/maths/controlled.py); None where the answers are not at hand."""


def rows(verdicts: Verdicts, settings: Settings, texts: Texts | None = None) -> list[Row]:
    """One per language, then the macro average."""
    scores, differences = verdicts.scores, verdicts.differences
    found = winrate.rates(scores, differences, settings.resamples, settings.confidence)
    *alone, together = winrate.p_values(scores, settings.resamples)
    p_values = [*statistics.holm(alone), together]
    fits = [winrate.length_controlled(s, d) for s, d in zip(scores, differences, strict=True)]
    counts = [int((~np.isnan(s)).sum()) for s in scores]
    counts.append(int((~np.isnan(scores)).any(axis=0).sum()))
    extras = [*((fit.phi, fit.support) for fit in fits), (None, None)]
    names = [*verdicts.languages, MACRO]
    styled: list[float | None] = [None] * len(names) if texts is None else [*_styled(verdicts, texts)]
    parts = zip(names, counts, found.raw, p_values, found.controlled, extras, styled, strict=True)
    return [Row(name, n, raw, p, lc, phi, support, style) for name, n, raw, p, lc, (phi, support), style in parts]


def _styled(verdicts: Verdicts, texts: Texts) -> list[float]:
    """By language, then their mean."""
    found: list[float] = []
    for row, language in enumerate(verdicts.languages):
        both = [[of_role.get((language, question), "") for of_role in texts] for question in verdicts.questions]
        styles = np.array([controlled.style_of(*pair) for pair in both])
        found.append(float(controlled.style(verdicts.scores[row][None], styles[None])[0]))
    return [*found, float(np.mean(found))]


def results(verdicts: Verdicts) -> Iterator[Result]:
    """Instance-level rows: `win` (the score; the opponent's is 1 minus it) and `characters` of both systems."""
    for row, language in enumerate(verdicts.languages):
        for column, question in enumerate(verdicts.questions):
            if not verdicts.asked[row, column].any():
                continue
            score = verdicts.scores[row, column]
            won = None if np.isnan(score) else float(score)
            lost = None if won is None else 1 - won
            for place, (system, value) in enumerate((("tuned", won), ("base", lost))):
                key = (NAME, system, question, language, 0)
                yield Result(*key, "win", value, str(verdicts.category[column]))
                yield Result(
                    *key, "characters", float(verdicts.characters[row, column, place]), str(verdicts.category[column])
                )


def tables(verdicts: Verdicts, found: Sequence[Row], settings: Settings) -> list[Table]:
    """What a person reads."""
    by_category = _categories(verdicts, settings)
    return [
        _win_rates(found, settings),
        _judge(verdicts),
        _lengths(verdicts, found, settings),
        *([by_category] if by_category else []),
    ]


def _win_rates(found: Sequence[Row], settings: Settings) -> Table:
    columns = ("language", "questions", "win rate", "low", "high", "p", "LC-minimal", "LC low", "LC high", "style")
    note = (
        f"Win rate of {settings.candidate} against {settings.opponent}, ties half, {settings.confidence:.0%} intervals by "
        "bootstrap over questions (jointly over languages); p of one half by sign flips, Holm-adjusted over languages; "
        "LC-minimal: at equal length (theta + phi tanh(d/sd), penalty phi^2); style: at equal length and Markdown."
    )
    values = [
        (r.language, r.questions, *_numbers(r.rate), r.p, *_numbers(r.controlled), r.style) for r in found
    ]  # fmt: skip
    return Table(f"Arena: {settings.candidate} against {settings.opponent}", columns, values, note)


def _numbers(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _judge(verdicts: Verdicts) -> Table:
    columns = (
        "language", "verdicts", "unreadable", "shortened", "disarmed", "ties", "first wins", "orders agree", "kappa",
        "rate, unread half",
    )  # fmt: skip
    note = (
        "Unreadable: verdicts without a mark, which have no score; the last column gives them half. Shortened: games whose "
        "texts were too long for the judge; disarmed: games whose texts spelt a server's control tokens. First wins: share of "
        "decided games that the answer shown first won."
    )
    values = [(language, *judge_numbers(verdicts, row).values()) for row, language in enumerate(verdicts.languages)]
    return Table("The judge", columns, values, note)


def judge_numbers(verdicts: Verdicts, row: int) -> dict[str, Any]:
    """Of one language: counts, position bias, agreement of the two orders, and the win rate with unreadable ones as half."""
    score, asked = verdicts.score[row], verdicts.asked[row]
    read = score[~np.isnan(score)]
    first = np.concatenate([score[:, 0], 1 - score[:, 1]])
    decided = first[np.isin(first, (0.0, 1.0))]
    twice = ~np.isnan(score).any(axis=1)
    agree = winrate.agreement(score[twice, 0], score[twice, 1]) if twice.any() else None
    return {
        "verdicts": int(asked.sum()),
        "unreadable": int(asked.sum()) - len(read),
        "shortened": int(verdicts.truncated[row].sum()),
        "disarmed": verdicts.disarmed.get(verdicts.languages[row], 0),
        "ties": float((read == 0.5).mean()),
        "first_wins": float(decided.mean()) if len(decided) else None,
        "orders_agree": agree.share if agree else None,
        "kappa": agree.kappa if agree else None,
        "cautious": float(np.nanmean(verdicts.cautious[row])),
    }


def _lengths(verdicts: Verdicts, found: Sequence[Row], settings: Settings) -> Table:
    columns = (
        "language", settings.candidate, settings.opponent, "longer", "longer wins", "shorter wins", "phi", "support",
    )  # fmt: skip
    note = (
        f"Mean characters of an answer; longer: share of questions on which {settings.candidate}'s is the longer one; its win "
        "rate where it is longer, and where it is shorter; phi: weight of length in the LC model; support: share of questions "
        "with answers of about equal length (within sd/2). Without support the LC win rate is an extrapolation."
    )
    values = []
    for row, language in enumerate(verdicts.languages):
        scores, difference = verdicts.scores[row], verdicts.differences[row]
        there = ~np.isnan(scores)
        means = verdicts.characters[row][there].mean(axis=0)
        sides = [scores[there & side] for side in (difference > 0, difference < 0)]
        won = [float(side.mean()) if len(side) else None for side in sides]
        longer = len(sides[0]) / int(there.sum())
        values.append((language, *map(float, means), longer, *won, found[row].phi, found[row].support))
    return Table("Lengths", columns, values, note)


def _categories(verdicts: Verdicts, settings: Settings) -> Table | None:
    """Win rates within a category; None where the questions have none."""
    names = sorted(set(verdicts.category) - {""})
    values = []
    for name in names:
        inside = verdicts.category == name
        judged = ~np.isnan(verdicts.scores[:, inside]).all(axis=1)
        if not judged.any():
            continue
        scores, differences = verdicts.scores[judged][:, inside], verdicts.differences[judged][:, inside]
        found = winrate.rates(scores, differences, settings.resamples, settings.confidence)
        values.append((name, int(inside.sum()), int(judged.sum()), *_numbers(found.raw[-1]), found.controlled[-1].mean))
    columns = ("category", "questions", "languages", "win rate", "low", "high", "LC-minimal")
    note = "Macro average over the languages with a verdict on such a question; exploratory: not adjusted for their number."
    return Table("By category", columns, values, note) if values else None


def headline(found: Sequence[Row], settings: Settings) -> str:
    """One sentence."""
    macro = found[-1]
    return (
        f"Arena: {settings.candidate} wins {macro.rate.mean:.1%} against {settings.opponent} "
        f"({macro.rate.low:.1%} to {macro.rate.high:.1%}); at equal length {macro.controlled.mean:.1%}."
    )
