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


@dataclass(frozen=True)
class Measured:
    """One measure of one evaluation, tuned against base."""

    evaluation: str
    measure: str
    """As results call it."""
    effects: Sequence[paired.Effect]
    """By language, then the mean over them; p Holm-adjusted over the languages."""

    @property
    def name(self) -> str:
        """What a person calls the measure."""
        return NAMES.get(self.measure, self.measure)


def measured(results: Mapping[str, pa.Table], languages: Sequence[str], settings: paired.Settings) -> list[Measured]:
    """Every measure that both systems have, evaluations and measures in the order in which they come.

    Args:
        results: rows of records.Result by evaluation, with the systems `base` and `tuned`.
        languages: the run's; a measure is averaged over those in which both systems have it.
    """
    found = []
    for evaluation, table in results.items():
        scores = paired.scores(table)
        for measure in dict.fromkeys(name for name, _ in scores if not name.startswith(PART)):
            base, tuned = (scores.get((measure, system), {}) for system in ("base", "tuned"))
            shared = [one for one in languages if base.get(one, {}).keys() & tuned.get(one, {}).keys()]
            if shared:
                found.append(Measured(evaluation, measure, paired.effects(base, tuned, shared, settings)))
    return found


def changes(found: Sequence[Measured]) -> list[Change]:
    """What the means over languages say, corrected over all of them."""
    means = [one.effects[-1] for one in found]
    adjusted = statistics.adjusted([mean.p for mean in means], "holm") if found else []
    return [
        Change(
            one.evaluation,
            one.name,
            mean.first,
            mean.second,
            mean.difference,
            mean.low,
            mean.high,
            p,
            verdict(one.measure, mean.difference, p),
        )
        for one, mean, p in zip(found, means, adjusted, strict=True)
    ]


def verdict(measure: str, difference: float, p: float) -> str:
    """What a difference means for a measure, once chance is not enough to explain it."""
    if p >= SIGNIFICANT or difference == 0:
        return SAME
    if measure in NEITHER:
        return OTHER
    return BETTER if (difference > 0) is (measure not in LESS_IS_BETTER) else WORSE


def p_value(p: float) -> str:
    """`p 0.007`; no p is 0."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def sentence(change: Change) -> str:
    """`right language 0.844 → 0.932: +0.088 [+0.030, +0.147], p 0.007`."""
    d = ".3f" if 0 <= change.base <= 1 and 0 <= change.tuned <= 1 else ".3g"  # shares, and anything else
    return (
        f"{change.measure} {change.base:{d}} → {change.tuned:{d}}: {change.difference:+{d}} "
        f"[{change.low:+{d}}, {change.high:+{d}}], {p_value(change.p)}"
    )
