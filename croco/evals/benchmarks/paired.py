"""Two models on EuroEval's data sets, compared by iteration.

EuroEval scores a model on bootstrap samples of the test set whose indices come from a generator with a fixed seed, so sample k
is the same for every model, and the differences d_k between two models are bootstrap replicates of the difference on the test
set. Their standard deviation is its standard error. It is not divided by the square root of the number of samples, as in the
interval EuroEval prints: more bootstrap samples do not make the test set larger. An interval is mean(d) +- t sd(d), Student's
t with iterations - 1 degrees of freedom because the standard deviation is itself an estimate.

Data sets are compared by their task's first metric, and averaged by it; the others are a family of their own, exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from croco.errors import UserError
from croco.evals.benchmarks.results import Measured
from croco.maths import statistics
from croco.show.tables import Table

MACRO = "macro"
NOT_OF_100 = ("speed", "bpc")
"""Metrics (their names' beginnings) in a unit of their own, which no mean takes in."""
FEWEST = 2  # iterations that have a standard deviation


@dataclass(frozen=True)
class Difference:
    """Tuned minus base, in points of [0, 100]."""

    language: str
    dataset: str
    """Empty for the mean over the data sets of a language, and over the languages."""
    task: str
    metric: str
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    deviation: float
    """Of the difference over iterations: its standard error."""
    unadjusted: float | None
    """p of no difference, two-sided, by itself: what the interval says; None where all iterations agree exactly."""
    p: float | None
    """The same, Holm-adjusted over the data sets (or languages)."""
    alpha: float = 0.05
    """1 - confidence."""

    @property
    def verdict(self) -> str:
        """By the adjusted p; where all iterations agree exactly, by what they agree on."""
        if self.p is None or self.p < self.alpha:
            return "fell" if self.difference < 0 else "rose"
        return ""


Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """What base and tuned differ in."""

    sets: list[Difference]
    """By data set, by its first metric."""
    means: list[Difference]
    """By language, then the macro row."""
    others: list[Difference]
    """By data set, by its other metrics."""


def compare(
    base: Sequence[Measured],
    tuned: Sequence[Measured],
    languages: Mapping[str, Sequence[str]],
    confidence: float,
    same_version: bool = True,
) -> Compared:
    """Data set by data set, and on average; `languages` maps each to its data sets.

    Raises:
        UserError: the two were measured with different versions of EuroEval, numbers of iterations or metrics, or in one
            iteration alone.
    """
    by_dataset = [{m.dataset: m for m in system} for system in (base, tuned)]
    sets: list[Difference] = []
    others: list[Difference] = []
    means: dict[str, tuple[Scores, Scores]] = {}
    for language, names in languages.items():
        averaged = []
        for name in names:
            first, second = by_dataset[0][name], by_dataset[1][name]
            _alike(first, second, same_version)
            for metric in first.scores:
                pair = np.array(first.scores[metric]), np.array(second.scores[metric])
                if not all(np.isfinite(scores).all() for scores in pair):
                    continue  # not defined on this data set
                row = _difference((language, name, first.task, metric), *pair, confidence)
                (sets if metric == first.metric else others).append(row)
                if metric == first.metric and not metric.startswith(NOT_OF_100):
                    averaged.append(pair)
        if averaged:
            means[language] = _mean(averaged)
    rows = [_difference((lang, "", "", ""), *pair, confidence) for lang, pair in means.items()]
    macro = [_difference((MACRO, "", "", ""), *_mean(list(means.values())), confidence)] if means else []
    return Compared(_adjusted(sets), [*_adjusted(rows), *macro], _adjusted(others))


def _mean(pairs: Sequence[tuple[Scores, Scores]]) -> tuple[Scores, Scores]:
    """Iteration by iteration, of as many iterations as all have."""
    count = min(len(base) for base, _ in pairs)
    base, tuned = (np.mean([pair[side][:count] for pair in pairs], axis=0) for side in (0, 1))
    return base, tuned


def _alike(base: Measured, tuned: Measured, same_version: bool) -> None:
    checks: list[tuple[str, tuple[object, object]]] = [
        ("iterations", (len(base.iterations), len(tuned.iterations))),
        ("metrics", (", ".join(base.scores), ", ".join(tuned.scores))),
    ]
    if same_version:
        checks.insert(0, ("version of EuroEval", (base.version, tuned.version)))
    for what, values in checks:
        if values[0] != values[1]:
            raise UserError(
                f"{base.dataset}: not the same {what} for both models, so not paired: {values[0]}, {values[1]}"
            )
    if len(base.iterations) < FEWEST:
        raise UserError(f"{base.dataset}: one iteration has no spread; measure with EuroEval's --num-iterations 10")


def _difference(names: tuple[str, str, str, str], base: Scores, tuned: Scores, confidence: float) -> Difference:
    paired = tuned - base
    mean, deviation, freedom = float(paired.mean()), float(paired.std(ddof=1)), len(paired) - 1
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * deviation
    if deviation > 0:
        p: float | None = float(2 * stats.t.sf(abs(mean) / deviation, freedom))
    else:
        p = 1.0 if mean == 0 else None
    ends = mean, mean - half, mean + half, deviation
    return Difference(*names, float(base.mean()), float(tuned.mean()), *ends, p, p, 1 - confidence)


def _adjusted(rows: list[Difference]) -> list[Difference]:
    adjusted = iter(statistics.holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else replace(row, p=next(adjusted)) for row in rows]


def fallen(sets: Sequence[Difference]) -> list[Difference]:
    """What was forgotten: the data sets that fell, the deepest fall first."""
    return sorted((row for row in sets if row.verdict == "fell"), key=lambda row: row.difference)


def headline(found: Compared) -> str:
    """One sentence."""
    fell = fallen(found.sets)
    named = f": {', '.join(row.dataset for row in fell)}" if fell else ""
    if not found.means:
        return f"EuroEval: {len(fell)} of {len(found.sets)} data sets fell{named}."
    macro = found.means[-1]
    return (
        f"EuroEval {macro.base:.2f} before, {macro.tuned:.2f} after: {macro.difference:+.2f} ({macro.low:+.2f} to "
        f"{macro.high:+.2f}); {len(fell)} of {len(found.sets)} data sets fell{named}."
    )


def tables(found: Compared, confidence: float) -> list[Table]:
    """By language, by data set, and the data sets' other metrics."""
    note = (
        f"Points of 100; difference: tuned minus base with its {confidence:.0%} interval from the standard deviation of paired "
        "iterations (sd), not divided by their root; p: of this difference alone, as the interval; Holm: adjusted over the rows "
        f"(macro: one test); fell, rose: Holm below {1 - confidence:.2g}."
    )
    ends = ("base", "tuned", "difference", "low", "high", "sd", "p", "Holm", "")
    columns = ("data set", "language", "metric", *ends)
    sets, others = ([[r.dataset, r.language, r.metric, *_ends(r)] for r in rows] for rows in (found.sets, found.others))
    made = [
        Table("EuroEval by language", ("language", *ends), [[r.language, *_ends(r)] for r in found.means], note, 2),
        Table("EuroEval by data set", columns, sets, note, 2),
    ]
    if others:
        made.append(Table("EuroEval by data set, other metrics", columns, others, f"{note} Exploratory.", 2))
    return made


def _ends(r: Difference) -> list[float | str | None]:
    return [r.base, r.tuned, r.difference, r.low, r.high, r.deviation, r.unadjusted, r.p, r.verdict]
