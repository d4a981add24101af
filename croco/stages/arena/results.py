"""Win rates from verdicts, and a score per question that other runs can be compared with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Result, Verdict
from croco.config import Config
from croco.evals.arena import analysis, judging
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    """With what decides whether two runs' scores may be compared: who judged, how, and against whom."""
    arena, judge = config.evals.arena, config.judge
    assert arena is not None, "stages are asked whether they are wanted"
    asked_for = {} if judge.answer == judging.MARKS else {"answer": judge.answer}
    judged = asked_for | {"by": judge.path or judge.function, "temperature": judge.temperature, "orders": arena.orders}
    against = {"path": arena.opponent.path, "adapter": arena.opponent.adapter, "answers": arena.opponent.answers}
    return {
        "arena": asdict(_settings(config)),
        "languages": list(config.lang.languages),
        "judged": judged,
        "against": against,
    }


def _settings(config: Config) -> analysis.Settings:
    arena = config.evals.arena
    assert arena is not None, "stages are asked whether they are wanted"
    return analysis.Settings(arena.resamples, arena.confidence, arena.candidate.name, arena.opponent.name)


def run(job: Job) -> dict[str, Any]:
    """Fill `results` with both sides' wins, question by question; the summary has win rates with intervals."""
    settings = _settings(job.config)
    judged = job.inputs["arena_verdicts"]
    disarmed = {language: summary.get("disarmed", 0) for language, summary in judged.summary.items()}
    verdicts = analysis.Verdicts(judged.rows("verdicts", Verdict), job.config.lang.languages, disarmed)
    count = job.output.write_table("results", records.schema(Result), map(records.as_dict, analysis.results(verdicts)))
    rows = analysis.rows(verdicts, settings, (_texts(job, "candidate"), _texts(job, "opponent")))
    return {
        "rows": count,
        "comparison": [asdict(row) for row in rows],
        "judge": {name: analysis.judge_numbers(verdicts, row) for row, name in enumerate(verdicts.languages)},
        "headline": analysis.headline(rows, settings),
        "metric": rows[-1].rate.mean,
        "tables": [asdict(table) for table in analysis.tables(verdicts, rows, settings)],
    }


def _texts(job: Job, role: str) -> dict[tuple[str, str], str]:
    return {(g.language, g.prompt_id): g.text for g in job.inputs[f"arena_{role}"].rows("generations", Generation)}


STAGE = Stage(
    name="arena",
    needs=("arena_verdicts", "arena_candidate", "arena_opponent"),
    config=slice_of,
    run=run,
    version=2,
    wanted=lambda config: config.evals.arena is not None,
)
