"""The two systems' answers to the arena's questions.

A system that this run does not train depends on the questions alone, so that all runs share its answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt
from croco.config import Config, SamplingConfig, SystemConfig
from croco.engines import factory
from croco.evals.arena import outputs
from croco.evals.arena.questions import SPLIT
from croco.models.checkpoints import Checkpoint
from croco.stages.answers import fill, seal, slice_of
from croco.stages.base import Job, Stage

ROLES = ("candidate", "opponent")
TRAINED = "trained"


def stages() -> tuple[Stage, ...]:
    """For each role, the stage of a system that is there already and that of the one this run trains; one of them is wanted."""
    return tuple(_stage(role, trained) for role in ROLES for trained in (False, True))


def _system(config: Config, role: str) -> SystemConfig:
    assert config.evals.arena is not None, "stages are asked whether they are wanted"
    system: SystemConfig = getattr(config.evals.arena, role)
    return system


def _checkpoint(config: Config, system: SystemConfig) -> Checkpoint:
    """The system's, without what this run trains."""
    checkpoint = factory.policy(config.model)
    if system.path is not None:
        checkpoint = replace(checkpoint, path=system.path, revision=system.revision, chat_template=system.chat_template)
    if system.adapter in (None, TRAINED):
        return checkpoint
    return replace(checkpoint, adapter=Path(str(system.adapter)))


def _sampling(config: Config) -> SamplingConfig:
    arena = config.evals.arena
    assert arena is not None, "stages are asked whether they are wanted"
    return SamplingConfig(1, arena.temperature, arena.top_p, arena.max_new_tokens, arena.seed)


def _stage(role: str, trained: bool) -> Stage:
    def config(given: Config) -> dict[str, Any]:
        folder = _system(given, role).answers
        if folder is not None:
            files = [Path(folder) / f"{language}.json" for language in given.lang.languages]
            return {"answers": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}}
        return slice_of(given, _checkpoint(given, _system(given, role)), SPLIT, _sampling(given))

    def run(job: Job) -> dict[str, Any]:
        folder = _system(job.config, role).answers
        if folder is not None:
            prompts = job.inputs["arena_prompts"].rows("prompts", Prompt)
            rows = map(records.as_dict, outputs.answers(Path(folder), prompts))
            return {"rows": job.output.write_table("generations", records.schema(Generation), rows)}
        return seal(job, SPLIT, _sampling(job.config), "arena_prompts")

    def answered(job: Job) -> None:
        if _system(job.config, role).answers is not None:
            return  # they are there
        checkpoint = _checkpoint(job.config, _system(job.config, role))
        if trained:
            checkpoint = replace(checkpoint, adapter=job.single("training").path / "adapter")
        fill(job, checkpoint, SPLIT, _sampling(job.config), "arena_prompts")

    def wanted(given: Config) -> bool:
        return given.evals.arena is not None and (_system(given, role).adapter == TRAINED) is trained

    return Stage(
        name=f"arena_{role}",
        needs=("arena_prompts", "training") if trained else ("arena_prompts",),
        config=config,
        fill=answered,
        run=run,
        version=1,
        folder="generations",
        per_language=True,
        wanted=wanted,
    )
