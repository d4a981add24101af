"""What got better, what got worse, and what shows no difference: every measure of a run's evaluations in one list.

One test per measure, on the mean over languages, Holm-adjusted over all measures of the run: a reader who looks through them all
is told of a difference by chance in 5 % of runs, not of measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from croco.evals.comparing import paired
from croco.maths import statistics

SIGNIFICANT = 0.05
NAMES = {
    "quality": "quality",
    "language": "right language",
    "ended": "answers ended by the model",
    "tokens": "tokens",
    "prompt_strict": "prompts with every instruction followed",
    "prompt_loose": "the same, loosely read",
    "instruction_strict": "instructions followed",
    "instruction_loose": "instructions followed, loosely read",
    "repetition": "repetition",
    "score": "score",
}
"""Measure -> what a person calls it; one that is not here goes by its own name."""
PART = "followed_"  # one kind of instruction, of which the whole is told
LESS_IS_BETTER = ("repetition",)
NEITHER = ("tokens",)
"""Neither more nor less of it is better by itself."""
BETTER, WORSE, OTHER, SAME = "better", "worse", "other", "no difference seen"


@dataclass(frozen=True)
class Change:
    """One measure of one evaluation, tuned against base, as the mean over languages."""

    evaluation: str
    measure: str
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    p: float
    """Holm-adjusted over all measures of the run."""
    verdict: str
    """`better`, `worse`, `other` (changed, and neither is better) or `no difference seen`."""


def changes(results: Mapping[str, pa.Table], languages: Sequence[str], settings: paired.Settings) -> list[Change]:
    """Every measure that both systems have, evaluations and measures in the order in which they come.

    Args:
        results: rows of records.Result by evaluation, with the systems `base` and `tuned`.
        languages: the run's; a measure is averaged over those in which both systems have it.
    """
    found: list[tuple[str, str, paired.Effect]] = []
    for evaluation, table in results.items():
        scores = paired.scores(table)
        for measure in dict.fromkeys(name for name, _ in scores if not name.startswith(PART)):
            base, tuned = (scores.get((measure, system), {}) for system in ("base", "tuned"))
            shared = [one for one in languages if base.get(one, {}).keys() & tuned.get(one, {}).keys()]
            if shared:
                found.append((evaluation, measure, paired.effects(base, tuned, shared, settings)[-1]))
    adjusted = statistics.adjusted([effect.p for _, _, effect in found], "holm") if found else []
    return [
        Change(
            evaluation,
            NAMES.get(measure, measure),
            effect.first,
            effect.second,
            effect.difference,
            effect.low,
            effect.high,
            p,
            verdict(measure, effect.difference, p),
        )
        for (evaluation, measure, effect), p in zip(found, adjusted, strict=True)
    ]


def verdict(measure: str, difference: float, p: float) -> str:
    """What a difference means for a measure, once chance is not enough to explain it."""
    if p >= SIGNIFICANT or difference == 0:
        return SAME
    if measure in NEITHER:
        return OTHER
    return BETTER if (difference > 0) is (measure not in LESS_IS_BETTER) else WORSE


def sentence(change: Change) -> str:
    """`right language 0.844 -> 0.932: +0.088 [+0.030, +0.147], p 0.007`."""
    return (
        f"{change.measure} {change.base:.3g} → {change.tuned:.3g}: {change.difference:+.3g} "
        f"[{change.low:+.3g}, {change.high:+.3g}], p {change.p:.3f}"
    )
