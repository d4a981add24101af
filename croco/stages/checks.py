"""Answers to prompts with checkable instructions, base compared with tuned; the prompts are an artifact of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Result
from croco.config import Config
from croco.config.evaluations import checked
from croco.errors import UserError
from croco.evals.checks import prompts, score
from croco.evals.comparing import base_and_tuned, paired
from croco.prompts import rows
from croco.stages.base import Job, Stage

METRIC = score.PRIMARY
SHOWN = 5  # of the rows that are left out; the summary has all


def _asked(config: Config) -> dict[str, Any]:
    checks = config.evals.checks
    if checks is None:
        return {}
    read = rows.digests(Path(checks.path), prompts.KEY) if checks.path is not None else {}
    topics = {} if checks.topics == "all" else {"topics": checks.topics}
    return {"prompts": checks.prompts, "seed": checks.seed, **topics, "files": read}


def _write(job: Job) -> dict[str, Any]:
    checks, language = job.config.evals.checks, str(job.language)
    assert checks is not None, "stages are asked whether they are wanted"
    asked = list(prompts.own(language, checks.prompts, checks.seed, checks.topics)) if checks.prompts else []
    own = len(asked)
    refused: list[str] = []
    if checks.path is not None:
        asked += prompts.read(Path(checks.path), [language], refused)
    for line in refused[:SHOWN]:
        job.progress.say(f"{job.label}: left out: {line}")
    if not asked:
        why = f" that can be checked ({len(refused)} left out; {refused[0]})" if refused else ""
        raise UserError(f"evals.checks.path: {checks.path}: no prompt in '{language}'{why}")
    asked.sort(key=lambda p: p.prompt_id)
    job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, asked))
    return {"rows": len(asked), "own": own, "left_out": refused}


def graded(job: Job, answers: Mapping[str, str]) -> Iterator[Result]:
    """Measurements of several systems' answers, given by the name of the input they lie in."""
    asked = {(p.prompt_id, p.language): p for p in job.inputs["checks_prompts"].rows("prompts", Prompt)}
    checks = job.config.evals.checks
    assert checks is not None, "stages are asked whether they are wanted"
    return itertools.chain.from_iterable(
        score.grade(asked, job.inputs[name].rows("generations", Generation), system, checks.average)
        for system, name in answers.items()
    )


def _compare(job: Job) -> dict[str, Any]:
    checks = job.config.evals.checks
    assert checks is not None, "stages are asked whether they are wanted"
    results = graded(job, {system: f"checked_{system}" for system in base_and_tuned.SYSTEMS})
    count = job.output.write_table("results", records.schema(Result), map(records.as_dict, results))
    table = job.output.table("results")
    left_out = [language for language in job.config.lang.languages if language not in languages(job.config)]
    if left_out:
        job.progress.say(f"{job.label}: left out, no prompts of our own: {', '.join(left_out)}")
    found = score.comparisons(table, job.config.lang.languages, checks.resamples, checks.confidence)
    macro = found[score.PRIMARY][-1]
    return {
        "rows": count,
        "without_prompts": left_out,
        "comparison": {measure: [asdict(row) for row in rows] for measure, rows in found.items()},
        "headline": f"Checks {macro.base:.3f} before, {macro.tuned:.3f} after: {macro.difference:+.3f} "
        f"({macro.low:+.3f} to {macro.high:+.3f}).",
        "metric": macro.difference,
        "tables": [asdict(shown) for shown in score.tables(table, found, checks.confidence, checks.average)],
    }


def _wanted(config: Config) -> bool:
    return config.evals.checks is not None


def languages(config: Config) -> list[str]:
    """Those in which anything is asked."""
    return checked(config.evals.checks, config.lang.languages)


def settings_of(config: Config) -> paired.Settings:
    """How differences are judged."""
    checks = config.evals.checks
    assert checks is not None, "stages are asked whether they are wanted"
    return paired.Settings(checks.resamples, checks.confidence)


PROMPTS = Stage(
    name="checks_prompts",
    needs=(),
    languages=languages,
    words=lambda config: ("checks",),
    config=_asked,
    run=_write,
    version=2,
    per_language=True,
    wanted=_wanted,
)
STAGE = Stage(
    name="checks",
    needs=("checks_prompts", "checked_base", "checked_tuned"),
    config=lambda c: (
        {name: getattr(c.evals.checks, name) for name in ("average", "confidence", "resamples")}
        if c.evals.checks is not None
        else {}
    ),
    run=_compare,
    version=3,
    wanted=_wanted,
)
