"""Systems that were made with several seeds, compared as one arm: seeds are drawn, then prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from croco.evals.comparing import paired
from croco.evals.comparing.paired import MACRO, Effect, Scores, Settings
from croco.maths import statistics

Floats = NDArray[np.float64]
FEW = 3
"""Fewer seeds say nothing of their spread."""
ITERATED = ("euroeval",)
"""Evaluations whose samples are bootstrap replicates of a test set: their spread is the standard error."""


def effects(
    evaluation: str, first: Sequence[Scores], second: Sequence[Scores], languages: Sequence[str], settings: Settings
) -> list[Effect]:
    """One row per language, then the macro average, of two arms given seed by seed; not corrected where `settings` says so.

    Raises:
        UserError: a language in which they have no prompt in common.
    """
    if evaluation in ITERATED:
        return _iterated(first, second, languages, settings)
    rows = paired.effects(_mean(first), _mean(second), languages, settings)
    if len(first) == len(second) == 1:
        return rows
    tables = [_table(first, second, language) for language in languages]
    made = [_hierarchical(row, *pair, settings) for row, pair in zip(rows[:-1], tables, strict=True)]
    corrected = statistics.adjusted([row.p for row in made], settings.correction)
    made = [replace(row, p=p) for row, p in zip(made, corrected, strict=True)]
    return [*made, _hierarchical(rows[-1], *_macro(first, second, languages), settings)]


def _mean(arm: Sequence[Scores]) -> Scores:
    """Over the seeds, of the prompts that every seed answered."""
    found: dict[str, dict[str, float]] = {}
    for language in arm[0]:
        prompts = set.intersection(*(set(seed.get(language, {})) for seed in arm))
        found[language] = {
            prompt: float(np.mean([seed[language][prompt] for seed in arm])) for prompt in sorted(prompts)
        }
    return found


def _table(first: Sequence[Scores], second: Sequence[Scores], language: str) -> tuple[Floats, Floats]:
    """(seeds, prompts) of each arm."""
    prompts = sorted(set.intersection(*(set(seed[language]) for seed in (*first, *second))))
    one, other = (np.array([[seed[language][p] for p in prompts] for seed in arm]) for arm in (first, second))
    return one, other


def _macro(first: Sequence[Scores], second: Sequence[Scores], languages: Sequence[str]) -> tuple[Floats, Floats]:
    """(seeds, prompts) shares in the mean over languages, a prompt with all its translations."""
    shared = {language: set.intersection(*(set(s[language]) for s in (*first, *second))) for language in languages}
    prompts = sorted(set().union(*shared.values()))
    sides = []
    for arm in (first, second):
        tables = [
            np.array([[seed[lang][p] if p in shared[lang] else np.nan for p in prompts] for lang in languages])
            for seed in arm
        ]
        sides.append(np.array([statistics.macro_shares(table)[1] for table in tables]))
    return sides[0], sides[1]


def _hierarchical(row: Effect, first: Floats, second: Floats, settings: Settings) -> Effect:
    interval, p = statistics.bootstrap_hierarchical(first, second, settings.resamples, settings.confidence)
    shown = replace(row, difference=interval.mean, low=interval.low, high=interval.high, p=p)
    return replace(shown, seeds=len(second), by_seed=_by_seed(first, second))


def _by_seed(first: Floats, second: Floats) -> list[float]:
    """Of each of several seeds' means; none of one alone."""
    return [float(mean) for mean in second.mean(axis=1) - first.mean()] if len(second) > 1 else []


def _iterated(
    first: Sequence[Scores], second: Sequence[Scores], languages: Sequence[str], settings: Settings
) -> list[Effect]:
    """By Student's t over paired iterations (croco/evals/benchmarks/paired.py), the seeds' variance of the mean added."""
    sides = [[_iterations(arm, language) for language in languages] for arm in (first, second)]
    rows = [_by_iteration(lang, one, other, settings) for lang, one, other in zip(languages, *sides, strict=True)]
    corrected = statistics.adjusted([row.p for row in rows], settings.correction)
    rows = [replace(row, p=p) for row, p in zip(rows, corrected, strict=True)]
    one, other = (np.mean([_as_many(table, side) for table in side], axis=0) for side in sides)
    return [*rows, _by_iteration(MACRO, one, other, settings)]


def _as_many(table: Floats, of: Sequence[Floats]) -> Floats:
    return table[:, : min(one.shape[1] for one in of)]


def _iterations(arm: Sequence[Scores], language: str) -> Floats:
    """(seeds, iterations)."""
    names = sorted(set.intersection(*(set(seed[language]) for seed in arm)))
    return np.array([[seed[language][name] for name in names] for seed in arm])


def _by_iteration(language: str, first: Floats, second: Floats, settings: Settings) -> Effect:
    count = min(first.shape[1], second.shape[1])
    by_seed = _by_seed(first, second)
    paired_by = (second[:, :count].mean(axis=0) - first[:, :count].mean(axis=0)) if count > 1 else np.zeros(2)
    variance = float(paired_by.var(ddof=1))
    if by_seed:
        variance += float(np.var(by_seed, ddof=1)) / len(second)
    mean, error = float(second.mean() - first.mean()), float(np.sqrt(variance))
    half = float(stats.t.ppf((1 + settings.confidence) / 2, count - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1)) if error > 0 else float(mean == 0)
    return Effect(
        language=language,
        prompts=count,
        not_shared=0,
        first=float(first.mean()),
        second=float(second.mean()),
        difference=mean,
        low=mean - half,
        high=mean + half,
        p=p,
        win_rate=float((paired_by > 0).mean() + (paired_by == 0).mean() / 2),
        detectable=None,
        seeds=len(second),
        by_seed=by_seed,
    )


def corrected(rows: Mapping[str, Sequence[Effect]], correction: str) -> dict[str, list[Effect]]:
    """p-values of one table: the languages of all comparisons are one family, their macro rows another."""
    found: dict[str, list[Effect]] = {name: [] for name in rows}
    for family in (
        [(name, row) for name, of_system in rows.items() for row in of_system[:-1]],
        [(name, of_system[-1]) for name, of_system in rows.items()],
    ):
        p_values = statistics.adjusted([row.p for _, row in family], correction)
        for (name, row), p in zip(family, p_values, strict=True):
            found[name].append(replace(row, p=p))
    return found


def said(rows: Mapping[str, Sequence[Effect]]) -> list[str]:
    """One line where an arm has fewer seeds than tell a spread."""
    few = {name: of_system[-1].seeds for name, of_system in rows.items() if of_system[-1].seeds < FEW}
    if not few:
        return []
    counts = ", ".join(f"{name} {seeds}" for name, seeds in few.items())
    return [f"fewer than {FEW} seeds ({counts}): what another seed would give is not in these intervals"]
