"""Preference pairs: which answers of each pool are chosen and rejected, with a report of what came out."""

from __future__ import annotations

import math
from typing import Any

from croco import records
from croco.config import Config
from croco.errors import UserError
from croco.pairing import report, show
from croco.pairing.build import PROMPT_COLUMNS, Tables, build
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    pairing = records.as_dict(config.pairing)
    pairing.pop("limits")  # they accept or refuse the rows, and change none
    pairing["filters"] = records.as_dict(config.pairing.filters)
    return {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in pairing.items()
    }


def run(job: Job) -> dict[str, Any]:
    config, inputs = job.config.pairing, job.inputs
    tables = Tables(inputs["generations"].files("generations"), inputs["scores"].files("scores"))
    prompts = inputs["prompts"].table("prompts", PROMPT_COLUMNS)
    summary = build(prompts, {job.config.source.kind: tables}, config, job.output.path / "pairs.parquet")
    job.progress.console.print(show.render(summary["report"]))
    broken = report.breaches(summary["report"], config.limits)
    if broken:
        raise UserError("; ".join(broken))
    return summary


STAGE = Stage(name="pairs", needs=("prompts", "generations", "scores"), config=slice_of, run=run, version=1)
