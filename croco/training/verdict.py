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
    share: float = 0.25
    """By so much a share among the held-out answers gets worse; they are few."""
    longer: float = 2.0
    """Held-out answers are so many times as long, or as short."""


DEFAULT = Limits()
SHARES = (
    ("ended", "of the held-out answers ended by themselves", -1),
    ("language", "of the held-out answers are in their prompt's language", -1),
    ("repetition", "of the word n-grams in held-out answers are repeats", 1),
)
"""Of a look at held-out prompts: name, words, the direction that is worse."""


def verdict(metrics: Sequence[Mapping[str, float]], limits: Limits = DEFAULT) -> str:
    """`healthy`, `likelihood displacement`, `collapsed`, `flat` or `worse answers`; `unknown` where nothing was measured.

    A collapsed policy no longer writes what it preferred; displacement (Razin et al. 2024) is a margin that grows because the
    rejected answers fall faster than the chosen ones; worse answers are those to held-out prompts, against those before training.
    """
    return judged(metrics, limits)[0]


def judged(metrics: Sequence[Mapping[str, float]], limits: Limits = DEFAULT) -> tuple[str, list[str]]:
    """The verdict, and why: what a person should look at, none where all is well."""
    of_pairs, why = _of_pairs(metrics, limits)
    answers = list(answers_against_start(metrics, limits).values())
    if answers and of_pairs in ("healthy", "unknown"):
        return "worse answers", answers
    return of_pairs, [*why, *answers]


def _of_pairs(metrics: Sequence[Mapping[str, float]], limits: Limits) -> tuple[str, list[str]]:
    rows = [r for r in metrics if "chosen_against_reference" in r and "rejected_against_reference" in r][
        -limits.window :
    ]
    if not rows:
        return "unknown", []
    chosen, rejected = (drift(rows, role) for role in ("chosen", "rejected"))
    margin = sum(r["margin"] for r in rows) / len(rows)
    moved = f"chosen answers moved by {chosen:+.2f}, rejected by {rejected:+.2f} nats a token against the reference"
    # A NaN passes no comparison, so that these are written for what is sound.
    if not (chosen > -limits.collapse and rejected < float("inf")):
        return "collapsed", [moved]
    if margin < limits.flat:  # a margin below 0 as well: preferences were unlearnt
        return "flat", [f"a margin of {margin:.3f} nats a pair after the last steps"]
    if chosen < -limits.displacement and rejected < chosen:
        return "likelihood displacement", [moved]
    return "healthy", []


def answers_against_start(metrics: Sequence[Mapping[str, float]], limits: Limits = DEFAULT) -> dict[str, str]:
    """What became worse in the answers to held-out prompts between the first look and the last: measure -> a line."""
    looks = [r for r in metrics if "heldout_answer_ended" in r]
    if len(looks) < 2:
        return {}
    first, last = looks[0], looks[-1]
    lines = {}
    for name, words, sign in SHARES:
        before, after = first.get(f"heldout_answer_{name}"), last.get(f"heldout_answer_{name}")
        if before is not None and after is not None and sign * (after - before) > limits.share:
            lines[f"heldout_answer_{name}"] = f"{after:.0%} {words}, {before:.0%} before training"
    before, after = first["heldout_answer_tokens"], last["heldout_answer_tokens"]
    if before > 0 and not 1 / limits.longer < after / before < limits.longer:
        lines["heldout_answer_tokens"] = f"held-out answers have {after:.0f} tokens, {before:.0f} before training"
    return lines


def drift(rows: Sequence[Mapping[str, float]], role: str) -> float:
    """Mean change of an answer's log-prob against the reference, in nats per token, over some steps."""
    return sum(r[f"{role}_against_reference"] for r in rows) / sum(r[f"{role}_tokens"] for r in rows)
