"""A policy that was trained elsewhere in training's place (`method=none`): what is measured is an adapter that is there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco.config import Config
from croco.engines import factory
from croco.models.slices import checkpoint_slice
from croco.stages.base import Job, Stage


def trains(config: Config) -> bool:
    """Whether the run trains a policy, and needs all that leads there."""
    return config.method.trains_on != "nothing"


def slice_of(config: Config) -> dict[str, Any]:
    """The adapter by its content."""
    return checkpoint_slice(replace(factory.policy(config.model), adapter=Path(str(config.evals.tuned))))


def run(job: Job) -> dict[str, Any]:
    """Keep the adapter as training would have left it."""
    shutil.copytree(str(job.config.evals.tuned), job.output.path / "adapter", dirs_exist_ok=True)
    verdict = f"not trained here; measured is {job.config.evals.tuned}"
    return {"steps": 0, "tokens": 0, "verdict": verdict, "last": {}}


def only_to_train(stage: Stage) -> Stage:
    """A stage that nothing but training needs."""
    return replace(stage, wanted=lambda config: trains(config) and stage.wanted(config))


STAGE = Stage(
    name="training", needs=(), config=slice_of, run=run, version=1, folder="given", wanted=lambda c: not trains(c)
)
