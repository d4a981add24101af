"""A pair set from tables on disk: read the scores, filter, choose, gather the texts, write, report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from croco.config import PairingConfig
from croco.errors import UserError
from croco.pairing import answers, filters, mixture, report, rows
from croco.pairing.choose import Chosen, choose, unpaired
from croco.pairing.texts import Texts

PROMPT_COLUMNS = ["prompt_id", "language", "messages"]
ALONE = "alone.parquet"
"""Beside the pairs: the chosen answers of pools that gave none, for training on single answers."""


@dataclass(frozen=True)
class Tables:
    """Where a source's answers are, file by file, the two in the same order of rows."""

    generations: Sequence[Path]
    scores: Sequence[Path]


def build(
    prompts: pa.Table,
    sources: Mapping[str, Tables],
    config: PairingConfig,
    path: Path,
    shares: Mapping[str, float] | None = None,
    encoding: report.Encoding | None = None,
) -> dict[str, Any]:
    """Write the pairs to `path`, and beside it `ALONE`; returns {"rows", "answers_without_pair", "language_undecided", "report"}.

    Args:
        prompts: columns PROMPT_COLUMNS, in all languages.
        sources: whose answers, by name; of several, `shares` says which prompts are whose.
        encoding: the policy's tokenizer; without it nothing is encoded anew.

    Raises:
        UserError: no pair came out, or the tables do not fit one another.
    """
    ensemble = config.filters.disagreement is not None
    scored = answers.read({name: tables.scores for name, tables in sources.items()}, ensemble)
    eligible = None
    if shares is not None:
        scored, eligible = mixture.assign(scored, shares, config.seed)
    shown = rows.Prompts.of(prompts, scored)
    texts = Texts({name: tables.generations for name, tables in sources.items()})
    try:
        masks, undecided = filters.masks(config.filters, scored, texts)
        pairs = choose(scored, config, shown.rows, masks, eligible)
        _some(pairs)
        facts = report.TextFacts(len(pairs), encoding or report.Encoding())
        rows.write(_noted(rows.blocks(pairs, shown, texts), facts), path)
        alone = unpaired(pairs, config, shown.rows)
        rows.write((table for _, table in rows.blocks(alone, shown, texts)), path.with_name(ALONE), rows.SINGLE)
    finally:
        texts.close()
    told = {"rows": len(pairs), "answers_without_pair": len(alone)}
    return {**told, "language_undecided": undecided, "report": report.numbers(pairs, config, facts)}


def _some(pairs: Chosen) -> None:
    if len(pairs) == 0:
        reasons = ", ".join(f"{k}: {v}" for k, v in (pairs.left_out | pairs.refused).items() if v)
        raise UserError(
            f"pairing: no pair came out of {pairs.pools} pools ({reasons}); take more samples, or a laxer rule"
        )


def _noted(blocks: Iterator[tuple[slice, pa.Table]], facts: report.TextFacts) -> Iterator[pa.Table]:
    for part, table in blocks:
        facts.add(part.start, table)
        yield table
