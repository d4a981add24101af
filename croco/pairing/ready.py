"""Preferences that were brought, as a pairs table with its report; what nobody can know of them is None, never 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croco.pairing import report, rows

SOURCE = "brought"
BLOCK = 4096
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """What the report tells, of P pairs."""

    chosen_tokens: np.ndarray
    rejected_tokens: np.ndarray
    chosen_score: np.ndarray
    """NaN where it is not known."""
    rejected_score: np.ndarray
    language: list[str]
    """Of the prompts."""
    chosen_language: list[str]
    rejected_language: list[str]


def write(
    pairs: list[Row],
    tokens: Callable[[str], int],
    path: Path,
    left_out: Mapping[str, int],
    spells: Callable[[str], bool] = lambda text: False,
) -> dict[str, Any]:
    """Write the pairs to `path`; returns {"rows", "report"}.

    Args:
        pairs: as `croco.prompts.ready.ReadyPair`.
        tokens: length of an answer for the policy, its end included.
        left_out: rows that are no pairs, by reason.
        spells: whether a text spells a mark of the policy's.
    """
    facts = report.TextFacts(len(pairs), report.Encoding(spells=spells))
    lengths: dict[str, list[int]] = {"chosen": [], "rejected": []}

    def blocks() -> Iterator[pa.Table]:
        for first in range(0, len(pairs), BLOCK):
            some = [_row(pair, tokens) for pair in pairs[first : first + BLOCK]]
            for side, known in lengths.items():
                known += [row[f"{side}_tokens"] for row in some]
            table = pa.Table.from_pylist(some, schema=rows.SCHEMA)
            facts.add(first, table)
            yield table

    rows.write(blocks(), path)
    columns = Columns(
        np.array(lengths["chosen"], np.int64),
        np.array(lengths["rejected"], np.int64),
        _numbers(pair["chosen_score"] for pair in pairs),
        _numbers(pair["rejected_score"] for pair in pairs),
        *([str(pair[name]) for pair in pairs] for name in ("language", "chosen_language", "rejected_language")),
    )
    return {"rows": len(pairs), "report": numbers(columns, dict(left_out), facts)}


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


def _row(pair: Row, tokens: Callable[[str], int]) -> dict[str, Any]:
    row = {"prompt_id": pair["prompt_id"], "language": pair["language"], "prompt": pair["messages"], "source": SOURCE}
    for side in ("chosen", "rejected"):
        row[side] = [{"role": "assistant", "content": pair[side]}]
        row[f"{side}_tokens"] = tokens(pair[side])
        row |= {f"{side}_{name}": pair[f"{side}_{name}"] for name in ("score", "language")}
    return row


def numbers(columns: Columns, left_out: dict[str, int], facts: report.TextFacts) -> report.Numbers:
    """The keys of `report.numbers`."""
    longer = columns.chosen_tokens - columns.rejected_tokens
    margin = columns.chosen_score - columns.rejected_score
    known = margin[np.isfinite(margin)]
    names = sorted({*columns.language, *columns.chosen_language, *columns.rejected_language})
    return {
        "pairs": len(longer),
        "pools": None,
        "answers": 2 * len(longer),
        "left_out": left_out,
        "refused": {},
        "pool_size": None,
        "rewards_known": len(known),
        "rejected_is_minimum": None,
        "margin": report.distribution(known) if len(known) else None,
        "length_difference": report.distribution(longer),
        "chosen_longer": report.share(longer > 0),
        "same_length": report.share(longer == 0),
        "longest_answer": int(max(columns.chosen_tokens.max(), columns.rejected_tokens.max())),
        "truncated": {"chosen": None, "rejected": None},
        "languages": _languages(columns, names),
        "reward_by_language": _rewards(columns, names),
        "sources": {SOURCE: len(longer)},
        **facts.numbers(),
    }


def _languages(columns: Columns, names: list[str]) -> report.Numbers:
    both = Counter(zip(columns.chosen_language, columns.rejected_language, strict=True))
    fits = sum(a == b for a, b in zip(columns.chosen_language, columns.language, strict=True))
    of_prompts = Counter(columns.language)
    table = [[both[chosen, rejected] for rejected in names] for chosen in names]
    return {
        "of_prompts": {name: of_prompts[name] for name in names},
        **report.across(names, np.array(table, int)),
        "chosen_in_language_of_prompt": round(fits / len(columns.language), 6),
    }


def _rewards(columns: Columns, names: list[str]) -> report.Numbers:
    """Of answers whose reward is known; none of a language without any."""
    rewards = np.concatenate([columns.chosen_score, columns.rejected_score])
    language = np.array([*columns.chosen_language, *columns.rejected_language])
    there = np.isfinite(rewards)
    return report.offsets(names, rewards[there], np.searchsorted(names, language[there])) if there.any() else {}
