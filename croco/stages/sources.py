"""The further sources of a mixture: the stages of the first one again, with another model's answers or the data set's.

They are made from the stages they repeat, which `croco.stages.stages` hands over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from croco.config import Config
from croco.stages.base import Job, Stage, pairs_wanted, seen_from


def uses(source: str) -> Callable[[Config], bool]:
    """Whether a configuration mixes in this source."""
    return lambda config: pairs_wanted(config) and source in (config.source.shares or {})


def _off_policy(config: Config) -> Config:
    """The configuration of a run on the other model's answers alone, whose generations this one shares."""
    return replace(config, source=replace(config.source, kind="off_policy", shares=None))


def other_generations(generations: Stage) -> Stage:
    """The answers of `source.model`."""

    def config(given: Config) -> dict[str, Any]:
        return generations.config(_off_policy(given))

    folder = generations.folder or generations.name
    return seen_from(
        replace(generations, name="other_generations", folder=folder, config=config, wanted=uses("off_policy")),
        lambda job: replace(job, config=_off_policy(job.config)),
    )


def other_scores(scores: Stage) -> Stage:
    """Their rewards."""
    stage = _scores_of(scores, "other_scores", "other_generations", "off_policy")
    return seen_from(stage, lambda job: replace(job, config=_off_policy(job.config)))


def reference_scores(scores: Stage) -> Stage:
    """The rewards of the data set's answers."""
    return _scores_of(scores, "reference_scores", "references", "reference")


def _scores_of(scores: Stage, name: str, answers: str, source: str) -> Stage:
    def seen(job: Job) -> Job:
        return replace(job, inputs={need.replace(answers, "generations"): there for need, there in job.inputs.items()})

    def also(config: Config) -> tuple[str, ...]:
        return tuple(need.replace("generations", answers) for need in scores.also(config))

    folder = scores.folder or scores.name
    return seen_from(
        replace(scores, name=name, folder=folder, needs=("prompts", answers), also=also, wanted=uses(source)), seen
    )
