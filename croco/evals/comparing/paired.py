"""Two systems on the same prompts: per language and as the mean over languages, with intervals and corrected p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from croco.errors import UserError
from croco.maths import statistics

MACRO = "macro"
POWER = 0.8
"""With which the minimum detectable effect would be found."""

Scores = Mapping[str, Mapping[str, float]]
"""Language -> prompt -> mean over its samples."""


@dataclass(frozen=True)
class Settings:
    """How differences are judged."""

    resamples: int
    confidence: float
    interval: str = "percentile"
    """One of statistics.METHODS."""
    correction: str = "holm"
    """Of the p-values over the languages, one of statistics.CORRECTIONS."""

    tests: int | None = None
    """Of the family that is corrected later, where that is larger than the languages."""

    def alpha(self, languages: int) -> float:
        """The level the minimum detectable effect is for; with Holm that of its first step, the strictest."""
        return (1 - self.confidence) / (self.tests or (languages if self.correction == "holm" else 1))


@dataclass(frozen=True)
class Effect:
    """One language's row, or `macro`: the mean over languages, its interval over prompts with all their translations."""

    language: str
    prompts: int
    """That both systems answered."""
    not_shared: int
    """That only one of them answered; they are left out."""
    first: float
    second: float
    difference: float
    """Second minus first."""
    low: float
    high: float
    p: float
    """Of no difference: exact McNemar where all values are 0 or 1, else sign flips; corrected over the languages. The macro
    row's is not corrected: it is one test."""
    win_rate: float
    """Share of prompts on which the second is better, ties half."""
    detectable: float | None
    """Minimum detectable effect with the prompts there are; None for a single prompt."""
    seeds: int = 1
    """How often the second was made."""
    by_seed: Sequence[float] = ()
    """The difference of each seed; none where there is one seed."""

    @property
    def lowest(self) -> float | None:
        """Of the differences by seed."""
        return min(self.by_seed, default=None)

    @property
    def highest(self) -> float | None:
        """Likewise."""
        return max(self.by_seed, default=None)


def scores(results: pa.Table) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """(metric, system) -> Scores, from rows of records.Result; values that are null (not measured) are left out."""
    grouped = results.group_by(["metric", "system", "language", "prompt_id"]).aggregate([("value", "mean")])
    means: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in grouped.to_pylist():
        if row["value_mean"] is not None:
            of_system = means.setdefault((row["metric"], row["system"]), {})
            of_system.setdefault(row["language"], {})[row["prompt_id"]] = row["value_mean"]
    return means


def effects(first: Scores, second: Scores, languages: Sequence[str], settings: Settings) -> list[Effect]:
    """One row per language, then the macro average.

    Raises:
        UserError: both systems have no prompt in common in one of the languages.
    """
    rows = [_language(first, second, language, len(languages), settings) for language in languages]
    corrected = statistics.adjusted([row.p for row in rows], settings.correction)
    rows = [replace(row, p=p) for row, p in zip(rows, corrected, strict=True)]
    return [*rows, _macro(first, second, rows, settings)]


def _shared(first: Scores, second: Scores, language: str) -> list[str]:
    return sorted(first.get(language, {}).keys() & second.get(language, {}).keys())


def _language(first: Scores, second: Scores, language: str, languages: int, settings: Settings) -> Effect:
    prompts = _shared(first, second, language)
    if not prompts:
        raise UserError(f"{language}: the two systems have no prompt in common, so there is nothing to compare")
    one, other = (np.array([system[language][prompt] for prompt in prompts]) for system in (first, second))
    differences = other - one
    interval = statistics.bootstrap_mean(differences, settings.resamples, settings.confidence, method=settings.interval)
    if statistics.is_binary(one) and statistics.is_binary(other):
        p = statistics.mcnemar_p(one, other)
    else:
        p = statistics.sign_flip_p(differences, settings.resamples)
    return Effect(
        language=language,
        prompts=len(prompts),
        not_shared=len(first[language].keys() ^ second[language].keys()),
        first=float(one.mean()),
        second=float(other.mean()),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=p,
        win_rate=statistics.win_rate(one, other),
        detectable=_detectable(differences, settings.alpha(languages)),
    )


def _macro(first: Scores, second: Scores, rows: list[Effect], settings: Settings) -> Effect:
    """Over the prompts that are shared in some language, each drawn with all its translations."""
    shared = {row.language: _shared(first, second, row.language) for row in rows}
    prompts = sorted(set().union(*shared.values()))
    position = {prompt: column for column, prompt in enumerate(prompts)}
    differences = np.full((len(rows), len(prompts)), np.nan)
    for line, (language, answered) in enumerate(shared.items()):
        for prompt in answered:
            differences[line, position[prompt]] = second[language][prompt] - first[language][prompt]
    interval = statistics.bootstrap_macro(
        differences, settings.resamples, settings.confidence, method=settings.interval
    )
    return Effect(
        language=MACRO,
        prompts=len(prompts),
        not_shared=len({p for row in rows for p in first[row.language].keys() ^ second[row.language].keys()}),
        first=float(np.mean([row.first for row in rows])),
        second=float(np.mean([row.second for row in rows])),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=statistics.sign_flip_macro_p(differences, settings.resamples),
        win_rate=float(np.mean([row.win_rate for row in rows])),
        detectable=_detectable(statistics.macro_shares(differences)[1], 1 - settings.confidence),
    )


def _detectable(differences: statistics.Floats, alpha: float) -> float | None:
    if len(differences) < 2:
        return None
    return statistics.minimum_detectable(len(differences), float(differences.std(ddof=1)), alpha, POWER)
