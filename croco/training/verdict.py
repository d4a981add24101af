"""A plain verdict on a run of preference training, from the lines of its metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Where a verdict changes; log-probs in nats per token against the reference, margins in nats per pair."""

    collapse: float = 2.0
    """The chosen answers lost so much per token."""
    displacement: float = 0.1
    """The chosen answers lost so much per token, and the rejected ones more."""
    flat: float = 0.05
    """Smallest margin that counts as learning."""
    window: int = 5
    """Last steps that are averaged."""


DEFAULT = Limits()


def verdict(metrics: Sequence[Mapping[str, float]], limits: Limits = DEFAULT) -> str:
    """`healthy`, `likelihood displacement`, `collapsed` or `flat`; `unknown` where no reference was measured against.

    A collapsed policy no longer writes what it preferred; displacement (Razin et al. 2024) is a margin that grows because the
    rejected answers fall faster than the chosen ones.
    """
    rows = [r for r in metrics if "chosen_against_reference" in r and "rejected_against_reference" in r][
        -limits.window :
    ]
    if not rows:
        return "unknown"
    chosen, rejected = (drift(rows, role) for role in ("chosen", "rejected"))
    margin = sum(r["margin"] for r in rows) / len(rows)
    # A NaN passes no comparison, so that these are written for what is sound.
    if not (chosen > -limits.collapse and rejected < float("inf")):
        return "collapsed"
    if margin < limits.flat:  # a margin below 0 as well: preferences were unlearnt
        return "flat"
    if chosen < -limits.displacement and rejected < chosen:
        return "likelihood displacement"
    return "healthy"


def drift(rows: Sequence[Mapping[str, float]], role: str) -> float:
    """Mean change of an answer's log-prob against the reference, in nats per token, over some steps."""
    return sum(r[f"{role}_against_reference"] for r in rows) / sum(r[f"{role}_tokens"] for r in rows)
