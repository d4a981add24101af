"""A plain verdict on a run of preference training, from the lines of its metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Where a verdict changes; log-probs in nats per token, margins in nats per pair."""

    collapse: float = 2.0
    """The chosen answers lost so much per token since the first step."""
    displacement: float = 0.1
    """Both answers lost so much per token, while the margin grew."""
    flat: float = 0.05
    """Smallest absolute change of the margin that counts as learning."""
    window: int = 5
    """Steps averaged at the beginning and at the end."""


DEFAULT = Limits()


def verdict(metrics: Sequence[Mapping[str, float]], limits: Limits = DEFAULT) -> str:
    """`healthy`, `likelihood displacement`, `collapsed` or `flat`; `unknown` where nothing was measured to tell by.

    A collapsed policy no longer writes what it preferred; displacement (Razin et al. 2024) is a margin that grows because the
    rejected answers fall faster than the chosen ones. Both ends are means over `limits.window` steps.
    """
    rows = [r for r in metrics if "chosen_logp_per_token" in r and "rejected_logp_per_token" in r]
    if len(rows) < 2:
        return "unknown"
    chosen = _change(rows, "chosen_logp_per_token", limits.window)
    rejected = _change(rows, "rejected_logp_per_token", limits.window)
    # A NaN passes no comparison, so that these are written for what is sound.
    if not (chosen > -limits.collapse and rejected < float("inf")):
        return "collapsed"
    margin = _change(rows, "margin", limits.window) if "margin" in rows[0] else chosen - rejected
    if abs(margin) < limits.flat:
        return "flat"
    if chosen < -limits.displacement and rejected < chosen:
        return "likelihood displacement"
    return "healthy"


def _change(rows: Sequence[Mapping[str, float]], name: str, window: int) -> float:
    """Mean over the last steps minus mean over the first; the two never overlap."""
    width = max(1, min(window, len(rows) // 2))
    return (sum(r[name] for r in rows[-width:]) - sum(r[name] for r in rows[:width])) / width
