"""Evaluations at several optimiser steps of one training: which steps, the table of step x language, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from croco.evals.comparing import paired
from croco.maths import statistics
from croco.show.tables import Table

BASE, TUNED = "base", "tuned"


@dataclass(frozen=True)
class Point:
    """One step in one language, or in `macro`, the mean over languages."""

    metric: str
    language: str
    step: int
    value: float
    low: float
    high: float
    """Of the value: a bootstrap over prompts, jointly over languages."""
    effect: paired.Effect | None
    """Against step 0 on the same prompts; None for step 0 itself."""


def system(step: int, total: int) -> str:
    """What results call the policy after `step` of `total` steps."""
    return BASE if step == 0 else TUNED if step == total else f"step {step}"


def points(
    metric: str,
    scores: Mapping[int, paired.Scores],
    languages: Sequence[str],
    settings: paired.Settings,
) -> list[Point]:
    """By language, `macro` last, and by step.

    Args:
        scores: by step, step 0 among them.
    """
    found = []
    for step in sorted(scores):
        effects: Sequence[paired.Effect | None] = [None] * (len(languages) + 1)
        if step > 0:
            effects = paired.effects(scores[0], scores[step], languages, settings)
        for (language, band), effect in zip(_bands(scores[step], languages, settings).items(), effects, strict=True):
            found.append(Point(metric, language, step, band.mean, band.low, band.high, effect))
    order = [*languages, paired.MACRO]
    return sorted(found, key=lambda point: (order.index(point.language), point.step))


def _bands(
    scores: paired.Scores, languages: Sequence[str], settings: paired.Settings
) -> dict[str, statistics.Interval]:
    """The values themselves with their intervals."""
    prompts = sorted(set().union(*(scores[language] for language in languages)))
    table = np.array([[scores[language].get(prompt, np.nan) for prompt in prompts] for language in languages])
    how = (settings.resamples, settings.confidence)
    bands = {
        language: statistics.bootstrap_mean(row[~np.isnan(row)], *how, method=settings.interval)
        for language, row in zip(languages, table, strict=True)
    }
    return bands | {paired.MACRO: statistics.bootstrap_macro(table, *how, method=settings.interval)}


def table(found: Sequence[Point], confidence: float) -> Table:
    """The points for a person."""
    rows = [[p.metric, p.language, p.step, p.value, p.low, p.high, *_against_base(p.effect)] for p in found]
    heads = ("metric", "language", "step", "value", "low", "high", "difference", "diff. low", "diff. high", "p")
    note = (
        f"Value with its {confidence:.0%} interval; difference: to step 0 on the same prompts, with its interval; p "
        "Holm-adjusted over the languages of a step (macro: one test), not over steps."
    )
    return Table("Evaluations by training step", heads, rows, note)


def _against_base(effect: paired.Effect | None) -> list[float | None]:
    return [None] * 4 if effect is None else [effect.difference, effect.low, effect.high, effect.p]
