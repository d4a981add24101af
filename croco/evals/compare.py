"""Base against tuned per language, from instance-level results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from croco.maths import statistics
from croco.tables import Table

SYSTEMS = ("base", "tuned")
MACRO = "macro"


@dataclass(frozen=True)
class Comparison:
    """One language's row, or `macro`: the mean over languages, its interval over prompts with all their translations."""

    language: str
    prompts: int
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    p: float
    """Of no difference, by sign flips; Holm-adjusted over the languages. The macro row's is not adjusted: it is one test."""
    win_rate: float
    fidelity_base: float | None
    """Share of answers in the prompt's language; None where no answer's language could be told."""
    fidelity_tuned: float | None
    tokens_base: float
    tokens_tuned: float
    ended_base: float
    ended_tuned: float


def compare(
    results: pa.Table, metric: str, languages: Sequence[str], resamples: int, confidence: float
) -> list[Comparison]:
    """One row per language, then the macro average.

    Args:
        results: columns of records.Result; every language needs a prompt that both systems answered.
        metric: what is compared, e.g. `quality`.
    """
    means = _means(results)
    rows = [_language(means, metric, language, resamples, confidence) for language in languages]
    adjusted = statistics.holm([row.p for row in rows])
    rows = [Comparison(**{**asdict(row), "p": p}) for row, p in zip(rows, adjusted, strict=True)]
    return [*rows, _macro(means, rows, metric, languages, resamples, confidence)]


def _means(results: pa.Table) -> dict[tuple[str, str, str], dict[str, float]]:
    """(metric, system, language) -> prompt_id -> mean over its samples."""
    grouped = results.group_by(["metric", "system", "language", "prompt_id"]).aggregate([("value", "mean")])
    means: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in grouped.to_pylist():
        means.setdefault((row["metric"], row["system"], row["language"]), {})[row["prompt_id"]] = row["value_mean"]
    return means


def _paired(means: dict[Any, dict[str, float]], metric: str, language: str) -> dict[str, tuple[float, float]]:
    base, tuned = (means[metric, system, language] for system in SYSTEMS)
    return {prompt: (base[prompt], tuned[prompt]) for prompt in sorted(base.keys() & tuned.keys())}


def _language(
    means: dict[Any, dict[str, float]], metric: str, language: str, resamples: int, confidence: float
) -> Comparison:
    base, tuned = np.array(list(_paired(means, metric, language).values())).T
    interval = statistics.bootstrap_mean(tuned - base, resamples, confidence)
    other: dict[str, Any] = {
        f"{name}_{system}": _average(means.get((key, system, language), {}).values())
        for name, key in (("fidelity", "language"), ("tokens", "tokens"), ("ended", "ended"))
        for system in SYSTEMS
    }
    return Comparison(
        language=language,
        prompts=len(base),
        base=float(base.mean()),
        tuned=float(tuned.mean()),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=statistics.sign_flip_p(tuned - base, resamples),
        win_rate=statistics.win_rate(base, tuned),
        **other,
    )


def _average(values: Iterable[float | None]) -> float | None:
    """Mean of the values there are; None where there is none (language identification may not tell)."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _macro(
    means: dict[Any, dict[str, float]],
    rows: list[Comparison],
    metric: str,
    languages: Sequence[str],
    resamples: int,
    confidence: float,
) -> Comparison:
    """The mean of the languages' differences. Translations of a prompt are dependent, so a prompt is drawn with all of them.

    Where every prompt is there in every language, a prompt's share in the macro difference is its mean over the languages. Where
    not, it is n / L * sum_l d_l / n_l (n_l prompts in language l of L, n in all), so that the shares' mean is still the
    languages' mean; the interval is over the shares of d_l - mean_l around it, the ratio estimator's linearisation.
    """
    by_language = [_paired(means, metric, language) for language in languages]
    prompts = sorted(set().union(*by_language))
    shares, centred = np.zeros(len(prompts)), np.full(len(prompts), np.mean([row.difference for row in rows]))
    for row, paired in zip(rows, by_language, strict=True):
        there = [position for position, prompt in enumerate(prompts) if prompt in paired]
        differences = np.array([tuned - base for base, tuned in (paired[prompts[position]] for position in there)])
        weight = len(prompts) / (len(rows) * row.prompts)
        shares[there] += weight * differences
        centred[there] += weight * (differences - row.difference)
    interval = statistics.bootstrap_mean(centred, resamples, confidence)
    names = [
        f for f in Comparison.__dataclass_fields__ if f not in ("language", "prompts", "difference", "low", "high", "p")
    ]
    averaged: dict[str, Any] = {name: _average(getattr(row, name) for row in rows) for name in names}
    p = statistics.sign_flip_p(shares, resamples)
    return Comparison(
        language=MACRO,
        prompts=len(prompts),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p=p,
        **averaged,
    )


COLUMNS = {
    "language": "language",
    "prompts": "prompts",
    "base": "base",
    "tuned": "tuned",
    "difference": "difference",
    "low": "low",
    "high": "high",
    "p": "p",
    "win_rate": "wins",
    "fidelity_base": "fid. base",
    "fidelity_tuned": "fid. tuned",
    "tokens_base": "tokens base",
    "tokens_tuned": "tokens tuned",
    "ended_base": "ended base",
    "ended_tuned": "ended tuned",
}


def table(title: str, rows: Sequence[Comparison], confidence: float) -> Table:
    """The comparison for a person."""
    note = (
        f"Difference: tuned minus base, prompts as the unit, with its {confidence:.0%} interval; p Holm-adjusted over languages; "
        "wins count ties half; fid.: share of answers in the prompt's language."
    )
    return Table(title, tuple(COLUMNS.values()), [[getattr(row, name) for name in COLUMNS] for row in rows], note)
