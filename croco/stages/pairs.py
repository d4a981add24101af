"""Preference pairs: which answers of each pool are chosen and rejected, with a report of what came out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from croco import records
from croco.config import Config
from croco.errors import UserError
from croco.pairing import answers, filters, report, rows, show
from croco.pairing.choose import Chosen, choose
from croco.pairing.texts import Texts
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    pairing = records.as_dict(config.pairing)
    pairing.pop("limits")  # they accept or refuse the rows, and change none
    pairing["filters"] = records.as_dict(config.pairing.filters)
    return {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in pairing.items()
    }


def run(job: Job) -> dict[str, Any]:
    config = job.config.pairing
    source = job.config.source.kind
    scored = answers.read({source: job.inputs["scores"].files("scores")})
    prompts = rows.Prompts.of(job.inputs["prompts"].table("prompts", ["prompt_id", "language", "messages"]), scored)
    texts = Texts({source: job.inputs["generations"].files("generations")})
    try:
        masks, undecided = filters.masks(config.filters, scored, texts)
        pairs = choose(scored, config, prompts.rows, masks)
        _some(pairs)
        facts = report.TextFacts(len(pairs))
        rows.write(_noted(rows.blocks(pairs, prompts, texts), facts), job.output.path / "pairs.parquet")
    finally:
        texts.close()
    numbers = report.numbers(pairs, config, facts)
    job.progress.console.print(show.render(numbers))
    broken = report.breaches(numbers, config.limits)
    if broken:
        raise UserError("; ".join(broken))
    return {"rows": len(pairs), "language_undecided": undecided, "report": numbers}


def _some(pairs: Chosen) -> None:
    if len(pairs) == 0:
        reasons = ", ".join(f"{k}: {v}" for k, v in (pairs.left_out | pairs.refused).items() if v)
        raise UserError(
            f"pairing: no pair came out of {pairs.pools} pools ({reasons}); take more samples, or a laxer rule"
        )


def _noted(blocks: Iterator[tuple[slice, Any]], facts: report.TextFacts) -> Iterator[Any]:
    for part, table in blocks:
        facts.add(part.start, table)
        yield table


STAGE = Stage(name="pairs", needs=("prompts", "generations", "scores"), config=slice_of, run=run, version=1)
