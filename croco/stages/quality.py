"""Graded answers to held-out prompts, answer by answer, and base compared with tuned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Result
from croco.config import Config, functions, locate
from croco.evals import quality
from croco.evals.comparing import base_and_tuned, paired
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    if config.evals.quality is None:
        return {"quality": None}
    grader = functions.identity("evals.quality.grader", config.evals.quality.grader)  # an edited one grades again
    own = records.as_dict(config.evals.quality)
    own.pop("seconds")  # it stops a run, and changes no grade
    return {"quality": own, "grader": grader}


def graded(job: Job, answers: Mapping[str, str]) -> Iterator[Result]:
    """Grades of several systems' answers, given by the name of the input they lie in."""
    config = job.config.evals.quality
    assert config is not None, "stages are asked whether they are wanted"
    grader = locate("evals.quality.grader", config.grader)
    prompts = {(p.prompt_id, p.language): p for p in job.inputs["prompts"].rows("prompts", Prompt)}
    return itertools.chain.from_iterable(
        quality.grade(grader, prompts, job.inputs[name].rows("generations", Generation), system, config.seconds)
        for system, name in answers.items()
    )


def run(job: Job) -> dict[str, Any]:
    """Fill `results` with the grade of every answer, base and tuned; the summary compares them."""
    config = job.config.evals.quality
    assert config is not None, "stages are asked whether they are wanted"
    results = graded(job, {system: f"answers_{system}" for system in base_and_tuned.SYSTEMS})
    count = job.output.write_table("results", records.schema(Result), map(records.as_dict, results))
    rows = base_and_tuned.compare(
        job.output.table("results"), "quality", job.config.lang.languages, config.resamples, config.confidence
    )
    macro = rows[-1]
    return {
        "rows": count,
        "comparison": [asdict(row) for row in rows],
        "headline": f"Quality {macro.base:.3f} before, {macro.tuned:.3f} after: {macro.difference:+.3f} "
        f"({macro.low:+.3f} to {macro.high:+.3f}).",
        "metric": macro.difference,
        "tables": [asdict(base_and_tuned.table("Held-out prompts, base against tuned", rows, config.confidence))],
    }


def settings_of(config: Config) -> paired.Settings:
    """How differences are judged."""
    quality = config.evals.quality
    assert quality is not None, "stages are asked whether they are wanted"
    return paired.Settings(quality.resamples, quality.confidence)


STAGE = Stage(
    name="quality",
    needs=("prompts", "answers_base", "answers_tuned"),
    config=slice_of,
    run=run,
    version=3,
    wanted=lambda config: config.evals.quality is not None,
)
