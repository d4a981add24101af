"""Rewards of answers to held-out prompts: the run's own reward, which training follows (the proxy), and a second one (gold).

They are made from the stage of the scores, of the answers of one step of training: what `croco.stages.stages` hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from croco.artifacts.records import Result, Score
from croco.config import Config
from croco.config.scorers import ImplicitOptions, options_of
from croco.evals.comparing import paired
from croco.stages.base import Job, Stage, seen_from

NAME = "reward"
"""The evaluation, in rows of results."""


def follows(config: Config) -> bool:
    """Whether training follows the run's own reward, and something measures the same answers, or its course is asked for."""
    evals = config.evals
    answered = evals.gold is not None or (evals.quality is not None and evals.checkpoints is not None)
    return answered and config.data.scored and config.method.trains_on != "reference"


def has_gold(config: Config) -> bool:
    return config.evals.gold is not None


def slice_of(config: Config) -> dict[str, Any]:
    settings = settings_of(config)
    return {"resamples": settings.resamples, "confidence": settings.confidence}


def settings_of(config: Config) -> paired.Settings:
    own = config.evals.gold or config.evals.quality
    assert own is not None, "stages are asked whether they are wanted"
    return paired.Settings(own.resamples, own.confidence)


def proxy(config: Config) -> Config:
    """The run's reward of the policy's answers, without its control of lengths: that is of the answers of one artifact, and would
    be another one at each step."""
    reward = replace(config.reward, length=None)
    if isinstance(options_of(reward), ImplicitOptions):
        reward = replace(reward, options={**reward.options, "length_step": None})
    return replace(config, reward=reward, source=replace(config.source, kind="on_policy", shares=None))


def gold(config: Config) -> Config:
    """With the second reward in the first one's place."""
    assert config.evals.gold is not None, "stages are asked whether they are wanted"
    return replace(proxy(config), reward=config.evals.gold.reward)


def results(metric: str, job: Job, made: Mapping[str, str]) -> Iterator[Result]:
    """Rewards as instance-level results, from the name of the input by system; None for an answer without one."""
    for system, name in made.items():
        for row in job.inputs[name].rows("scores", Score):
            yield Result(NAME, system, row.prompt_id, row.language, row.sample, metric, row.reward)


def stage(scores: Stage, metric: str, view: Callable[[Config], Config], answers: Stage) -> Stage:
    """The rewards of what a stage has answered."""

    def seen(job: Job) -> Job:
        inputs = {need.replace(answers.name, "generations"): there for need, there in job.inputs.items()}
        return replace(job, config=view(job.config), inputs=inputs)

    words = scores.words
    made = replace(
        scores,
        name=answers.name.replace("answers", metric),
        folder=scores.folder or scores.name,
        needs=("prompts", answers.name),
        config=lambda config: scores.config(view(config)),
        words=None if words is None else lambda config: words(view(config)),
        also=lambda config: tuple(need.replace("generations", answers.name) for need in scores.also(view(config))),
        accept=lambda config, summary: scores.accept(view(config), summary),
        wanted=lambda config: True,
    )
    return seen_from(made, seen)
