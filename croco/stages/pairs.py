"""Preference pairs: which answers of each pool are chosen and rejected, with a report of what came out."""

from __future__ import annotations

import math
from typing import Any

from croco import records
from croco.config import Config
from croco.errors import UserError
from croco.pairing import answers, rows
from croco.pairing.choose import choose
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
    pairs = choose(scored, config, prompts.rows)
    if len(pairs) == 0:
        reasons = {k: v for k, v in (pairs.left_out | pairs.refused).items() if v}
        raise UserError(f"pairing: no pair came out of {pairs.pools} pools ({reasons}); more samples, or a laxer rule")
    texts = Texts({source: job.inputs["generations"].files("generations")})
    try:
        rows.write((table for _, table in rows.blocks(pairs, prompts, texts)), job.output.path / "pairs.parquet")
    finally:
        texts.close()
    return {"rows": len(pairs), "pools": pairs.pools, "left_out": pairs.left_out, "refused": pairs.refused}


STAGE = Stage(name="pairs", needs=("prompts", "generations", "scores"), config=slice_of, run=run, version=1)
