"""Two models on EuroEval's data sets, compared by iteration.

EuroEval scores a model on bootstrap samples of the test set whose indices come from a generator with a fixed seed, so sample k
is the same for every model, and the differences d_k between two models are bootstrap replicates of the difference on the test
set. Their standard deviation is its standard error. It is not divided by the square root of the number of samples, as in the
interval EuroEval prints: more bootstrap samples do not make the test set larger. An interval is mean(d) +- t sd(d), Student's
t with iterations - 1 degrees of freedom because the standard deviation is itself an estimate.
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
    p: float | None
    """Of no difference, two-sided, Holm-adjusted over the data sets (or languages); None where all iterations agree exactly."""

    @property
    def verdict(self) -> str:
        """Whether the interval leaves out 0."""
        return "fell" if self.high < 0 else "rose" if self.low > 0 else ""


Scores = NDArray[np.float64]


def compare(
    base: Sequence[Measured], tuned: Sequence[Measured], languages: Mapping[str, Sequence[str]], confidence: float
) -> tuple[list[Difference], list[Difference]]:
    """(one row per data set, one per language and then the macro row); `languages` maps each to its data sets.

    Raises:
        UserError: the two were measured with different versions of EuroEval, numbers of iterations or metrics.
    """
    by_dataset = [{m.dataset: m for m in system} for system in (base, tuned)]
    sets: list[Difference] = []
    means: list[tuple[Scores, Scores]] = []
    for language, names in languages.items():
        pairs = [_scores(by_dataset[0][name], by_dataset[1][name]) for name in names]
        for name, pair in zip(names, pairs, strict=True):
            measured = by_dataset[0][name]
            sets.append(_difference((language, name, measured.task, measured.metric), *pair, confidence))
        means.append((np.mean([b for b, _ in pairs], axis=0), np.mean([t for _, t in pairs], axis=0)))
    rows = [_difference((lang, "", "", ""), *pair, confidence) for lang, pair in zip(languages, means, strict=True)]
    macro = _difference(
        (MACRO, "", "", ""), np.mean([b for b, _ in means], axis=0), np.mean([t for _, t in means], axis=0), confidence
    )
    return _adjusted(sets), [*_adjusted(rows), macro]


def _scores(base: Measured, tuned: Measured) -> tuple[Scores, Scores]:
    for what, values in (
        ("version of EuroEval", (base.version, tuned.version)),
        ("iterations", (len(base.iterations), len(tuned.iterations))),
        ("metric", (base.metric, tuned.metric)),
    ):
        if values[0] != values[1]:
            raise UserError(
                f"{base.dataset}: not the same {what} for both models, so not paired: {values[0]}, {values[1]}"
            )
    return np.array(base.iterations), np.array(tuned.iterations)


def _difference(names: tuple[str, str, str, str], base: Scores, tuned: Scores, confidence: float) -> Difference:
    paired = tuned - base
    mean, deviation, freedom = float(paired.mean()), float(paired.std(ddof=1)), len(paired) - 1
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * deviation
    if deviation > 0:
        p: float | None = float(2 * stats.t.sf(abs(mean) / deviation, freedom))
    else:
        p = 1.0 if mean == 0 else None
    return Difference(*names, float(base.mean()), float(tuned.mean()), mean, mean - half, mean + half, deviation, p)


def _adjusted(rows: list[Difference]) -> list[Difference]:
    adjusted = iter(statistics.holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else replace(row, p=next(adjusted)) for row in rows]


def fallen(sets: Sequence[Difference]) -> list[Difference]:
    """What was forgotten: the data sets whose whole interval lies below 0, the deepest fall first."""
    return sorted((row for row in sets if row.verdict == "fell"), key=lambda row: row.difference)


def tables(sets: Sequence[Difference], rows: Sequence[Difference], confidence: float) -> list[Table]:
    """By language and by data set."""
    note = (
        f"Points of 100; difference: tuned minus base with its {confidence:.0%} interval from the standard deviation of paired "
        "iterations (sd), not divided by their root; p Holm-adjusted; fell, rose: the interval leaves out 0."
    )
    ends = ("base", "tuned", "difference", "low", "high", "sd", "p", "")
    return [
        Table("EuroEval by language", ("language", *ends), [[r.language, *_ends(r)] for r in rows], note, 2),
        Table(
            "EuroEval by data set",
            ("data set", "language", "metric", *ends),
            [[r.dataset, r.language, r.metric, *_ends(r)] for r in sets],
            note,
            2,
        ),
    ]


def _ends(r: Difference) -> list[float | str | None]:
    return [r.base, r.tuned, r.difference, r.low, r.high, r.deviation, r.p, r.verdict]
