"""Base against tuned per language, from instance-level results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from croco.evals.comparing import paired
from croco.show.tables import Table

SYSTEMS = ("base", "tuned")


@dataclass(frozen=True)
class Comparison:
    """One language's row, or `macro`: the mean over languages, its interval over prompts with all their translations."""

    language: str
    prompts: int
    """That both systems answered."""
    not_shared: int
    """That only one of them answered; they are left out."""
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    p: float
    """Of no difference, see paired.Effect; Holm-adjusted over the languages. The macro row's is not: it is one test."""
    win_rate: float
    detectable: float | None
    """Minimum detectable effect: what so many prompts show with 80 % power."""
    fidelity_base: float | None
    """Share of answers in the right language, of those of which it can be told for both; None where there is none."""
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
        results: columns of records.Result.
        metric: what is compared, e.g. `quality`.

    Raises:
        UserError: a language has no prompt that both systems answered.
    """
    scores = paired.scores(results)
    base, tuned = (scores.get((metric, system), {}) for system in SYSTEMS)
    *rows, macro = paired.effects(base, tuned, languages, paired.Settings(resamples, confidence))
    columns = [_columns(scores, row.language) for row in rows]
    averaged = {name: _average(column[name] for column in columns) for name in columns[0]}
    return [_comparison(row, extra) for row, extra in zip([*rows, macro], [*columns, averaged], strict=True)]


def _columns(scores: Mapping[tuple[str, str], paired.Scores], language: str) -> dict[str, float | None]:
    """What is shown beside the metric: fidelity, length, and whether answers ended; on the prompts where both are known."""
    columns: dict[str, float | None] = {}
    for name, metric in (("fidelity", "language"), ("tokens", "tokens"), ("ended", "ended")):
        of_systems = [scores.get((metric, system), {}).get(language, {}) for system in SYSTEMS]
        both = of_systems[0].keys() & of_systems[1].keys()
        for system, values in zip(SYSTEMS, of_systems, strict=True):
            columns[f"{name}_{system}"] = _average(values[prompt] for prompt in sorted(both))
    return columns


def _average(values: Iterable[float | None]) -> float | None:
    """Mean of the values there are; None where there is none (language identification may not tell)."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _comparison(effect: paired.Effect, columns: Mapping[str, Any]) -> Comparison:
    same = {name: getattr(effect, name) for name in Comparison.__dataclass_fields__ if hasattr(effect, name)}
    return Comparison(base=effect.first, tuned=effect.second, **same, **columns)


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
    "fidelity_base": "right language base",
    "fidelity_tuned": "right language tuned",
    "tokens_base": "tokens base",
    "tokens_tuned": "tokens tuned",
    "ended_base": "ended base",
    "ended_tuned": "ended tuned",
}


def table(title: str, rows: Sequence[Comparison], confidence: float) -> Table:
    """The comparison for a person."""
    note = (
        f"Difference: tuned minus base, prompts as the unit, with its {confidence:.0%} interval; p Holm-adjusted over languages; "
        "wins count ties half; right language: the prompt's or the one asked for, of the prompts of which it can be told for "
        "both."
    )
    left_out = sum(row.not_shared for row in rows if row.language != paired.MACRO)
    if left_out:
        note += f" Left out: {left_out} prompts (over the languages) that only one of the two answered."
    return Table(title, tuple(COLUMNS.values()), [[getattr(row, name) for name in COLUMNS] for row in rows], note)
