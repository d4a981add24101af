"""The arena's questions in one language: from the hub or files, whatever the run trains on, or the run's held-out prompts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.config import Config
from croco.errors import UserError
from croco.evals.arena import questions
from croco.prompts import rows
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    arena = config.evals.arena
    assert arena is not None, "stages are asked whether they are wanted"
    chosen: dict[str, Any] = {"source": arena.source, "limit": arena.limit, "seed": arena.seed}
    if arena.source == "hub":
        chosen |= {"path": arena.path, "revision": arena.revision}
    if arena.source == "file":
        chosen["files"] = rows.digests(Path(str(arena.path)), questions.KEY)
    return chosen


def run(job: Job) -> dict[str, Any]:
    """Fill `prompts` with the questions of one language.

    Raises:
        UserError: there is none.
    """
    arena, language = job.config.evals.arena, str(job.language)
    assert arena is not None, "stages are asked whether they are wanted"
    dropped: Counter[str] = Counter()
    if arena.source == "heldout":
        found = questions.from_heldout(job.inputs["prompts"].rows("prompts", Prompt))
    elif arena.source == "hub":
        found = questions.parse(questions.from_hub(str(arena.path), arena.revision, language), language, dropped)
    else:
        found = questions.parse(questions.from_files(Path(str(arena.path)), language), language, dropped)
    if not found:
        raise UserError(
            f"evals.arena.source={arena.source}: no question in '{language}'"
            + (f" (dropped: {dict(dropped)})" if dropped else "")
        )
    kept = questions.limited(found, arena)
    count = job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, kept))
    return {"rows": count, "of": len(found), "dropped": dict(dropped)}


def _wants(config: Config, heldout: bool) -> bool:
    return config.evals.arena is not None and (config.evals.arena.source == "heldout") is heldout


STAGE = Stage(
    name="arena_prompts",
    needs=(),
    config=slice_of,
    run=run,
    version=1,
    per_language=True,
    wanted=lambda config: _wants(config, heldout=False),
)
HELDOUT = replace(STAGE, needs=("prompts",), wanted=lambda config: _wants(config, heldout=True))
