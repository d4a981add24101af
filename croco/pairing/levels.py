"""From which share on a pair report is a warning, from which one the run stops, and what to do about it.

A policy learns what its chosen answers share, wanted or not: of pairs whose chosen answers are nearly all cut off it learns
never to end. A key of `pairing.limits` takes the place of the level that stops a run; 1 allows every share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from croco.config import PairLimitsConfig

Numbers = dict[str, Any]

ENOUGH = 200
"""Pairs from which a share stops a run by itself; that of fewer says little, and is warned of."""
MUCH_OF_TWO = 0.75
"""Of two languages one has half of the wins or more in any case: only above this it says something."""
COUNTED_APART = "enough pairs of the prompt"


@dataclass(frozen=True)
class Level:
    """One share of the report."""

    limit: str
    """Its key in `pairing.limits`."""
    warn: float
    """It is warned of above this."""
    stop: float | None
    """It stops the run above this, where the limit is null; null never does."""
    words: str
    """What is so, with {share}."""
    advice: str


LEVELS = (
    Level(
        "max_truncated",
        0.1,
        0.5,
        "{share:.0%} of the chosen answers were cut off: what is trained on them does not learn to end",
        "raise sampling.max_new_tokens to {longer}, or leave them out with pairing.filters.truncated=true",
    ),
    Level(
        "max_wrong_language",
        0.1,
        0.5,
        "{share:.0%} of the chosen answers are in another language than their prompt",
        "pairing.filters.wrong_language=true leaves them out, reward=faithful gives them no score",
    ),
    Level(
        "max_chosen_longer",
        0.75,
        0.95,
        "in {share:.0%} of the pairs the chosen answer is the longer one: length will be learnt with quality",
        "pairing.length_ratio=1.5 pairs answers of like length; a reward that charges length is another way",
    ),
    Level(
        "max_rejected_is_minimum",
        0.95,
        0.999,
        "{share:.0%} of the rejected answers are the worst of their pool: with {pool:g} answers per pool this rule cannot be "
        "told from the minimum",
        "with 64 it would: sampling.samples=64, or more answers where they are brought; pairing=best_worst says what it is",
    ),
    Level(
        "max_identical",
        0.0,
        0.1,
        "{share:.1%} of the pairs have the same text twice",
        "pairing.filters.duplicate=true leaves them out",
    ),
    Level(
        "max_one_language_wins",
        0.5,
        0.9,
        "{share:.0%} of the chosen answers of pairs across languages are in '{winner}': the pairs contrast languages more than "
        "quality",
        "pairing=multi_z compares within languages",
    ),
    Level(
        "max_prompts_without_pair",
        0.5,
        None,
        "{share:.0%} of the pools gave no pair ({refused})",
        "the reasons are in the pair report",
    ),
)


def shares(report: Numbers) -> dict[str, float]:
    """What each limit is held against, as far as it is known."""
    fits = report["language_of_answers"]["chosen"]
    lost = sum(count for reason, count in report["refused"].items() if reason != COUNTED_APART)
    minimum, pools = report["rejected_is_minimum"], report["pools"]
    found = {
        "max_prompts_without_pair": None if pools is None else lost / pools,
        "max_rejected_is_minimum": None if minimum is None else minimum["share"],
        "max_chosen_longer": report["chosen_longer"],
        "max_truncated": report["truncated"]["chosen"],
        "max_wrong_language": fits["wrong"] / max(fits["right"] + fits["wrong"], 1),
        "max_identical": report["identical"] / report["pairs"],
        "max_one_language_wins": max(report["languages"]["wins_across_languages"].values(), default=0.0),
    }
    return {name: share for name, share in found.items() if share is not None}


def _worth_a_warning(level: Level, report: Numbers) -> bool:
    if level.limit == "max_rejected_is_minimum":  # a rule that asks for the minimum gets what it asks for
        return bool(report["rejected_is_minimum"]["cannot_be_told_from_min"])
    wins = report["languages"]["wins_across_languages"]
    return level.limit != "max_one_language_wins" or len(wins) > 2 or max(wins.values(), default=0.0) > MUCH_OF_TWO


def _filled(text: str, level: Level, report: Numbers) -> str:
    wins = report["languages"]["wins_across_languages"]
    return text.format(
        share=shares(report)[level.limit],
        pool=(report["pool_size"] or {}).get("median", 0),
        winner=max(wins, key=lambda name: wins[name]) if wins else "",
        refused=", ".join(f"{reason} {count:,}" for reason, count in report["refused"].items() if count),
        longer=2 * report.get("longest_answer", 0) or "twice as many",
    )


def warnings(report: Numbers) -> list[str]:
    """What a person should know before training on these pairs, and what to do, one line each."""
    found = shares(report)
    return [
        f"{_filled(level.words, level, report)} ({_filled(level.advice, level, report)})"
        for level in LEVELS
        if found.get(level.limit, 0.0) > level.warn and _worth_a_warning(level, report)
    ]


def breaches(report: Numbers, limits: PairLimitsConfig) -> list[str]:
    """One line for each limit that the pairs do not keep."""
    found, lines = shares(report), []
    for level in LEVELS:
        own = getattr(limits, level.limit)
        if level.limit not in found:  # not known: what a limit asks cannot be told
            continue
        by_itself = level.stop if report["pairs"] >= ENOUGH and _worth_a_warning(level, report) else None
        limit = by_itself if own is None else own
        if limit is not None and found[level.limit] > limit:
            lines.append(
                f"pairing.limits.{level.limit}: {found[level.limit]:.3f} is above {limit:g}: "
                f"{_filled(level.words, level, report)}; {_filled(level.advice, level, report)}; "
                f"pairing.limits.{level.limit}=1 trains on them all the same"
            )
    if limits.min_pairs is not None and report["pairs"] < limits.min_pairs:
        lines.append(f"pairing.limits.min_pairs: {report['pairs']} pairs are fewer than {limits.min_pairs}")
    return lines
