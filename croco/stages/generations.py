"""Answers: K samples of every training prompt to pair, and the answers to held-out prompts that evaluation compares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from croco.config import Config, SamplingConfig
from croco.config.evaluations import checked
from croco.engines import factory
from croco.models.checkpoints import Checkpoint
from croco.stages.answers import fill, seal, slice_of
from croco.stages.base import Job, Stage, pairs_wanted
from croco.training import kept

ADAPTER = "adapter"  # what training leaves at its end, below its folder


def evaluation_sampling(config: Config) -> SamplingConfig:
    """As the candidates, but as many answers as the evaluations want, from other seeds."""
    samples = config.evals.quality.samples if config.evals.quality is not None else 1
    return replace(config.sampling, samples=samples, seed=config.sampling.seed + 1)


def checks_sampling(config: Config) -> SamplingConfig:
    """How prompts with checkable instructions are answered."""
    checks = config.evals.checks
    if checks is None:
        return config.sampling
    return replace(
        config.sampling,
        samples=checks.samples,
        temperature=checks.temperature,
        top_p=1.0,
        max_new_tokens=checks.max_new_tokens or config.sampling.max_new_tokens,
        seed=config.sampling.seed + 2,
    )


def _system(job: Job, adapter: str | None) -> Checkpoint:
    """The policy with an adapter that training left in its folder; before training with None."""
    checkpoint = factory.policy(job.config.model)
    return checkpoint if adapter is None else replace(checkpoint, adapter=job.single("training").path / adapter)


def _fill_answers(job: Job, adapter: str | None) -> None:
    fill(job, _system(job, adapter), "heldout", evaluation_sampling(job.config))


def _fill_checked(job: Job, adapter: str | None) -> None:
    fill(job, _system(job, adapter), "checks", checks_sampling(job.config), "checks_prompts")


def _evaluates(config: Config) -> bool:
    return config.evals.quality is not None or config.evals.gold is not None


STAGE = Stage(
    name="generations",
    needs=("prompts",),
    config=lambda c: slice_of(c, factory.candidates(c), "train", c.sampling),
    fill=lambda job: fill(job, factory.candidates(job.config), "train", job.config.sampling),
    run=lambda job: seal(job, "train", job.config.sampling),
    version=1,
    per_language=True,
    wanted=pairs_wanted,
)
ANSWERS_BASE = Stage(
    name="answers_base",
    needs=("prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "heldout", evaluation_sampling(c)),
    fill=functools.partial(_fill_answers, adapter=None),
    run=lambda job: seal(job, "heldout", evaluation_sampling(job.config)),
    version=STAGE.version,
    folder="generations",
    per_language=True,
    wanted=_evaluates,
)
ANSWERS_TUNED = replace(
    ANSWERS_BASE,
    name="answers_tuned",
    needs=("prompts", "training"),
    fill=functools.partial(_fill_answers, adapter=ADAPTER),
)
CHECKED_BASE = replace(
    ANSWERS_BASE,
    name="checked_base",
    needs=("checks_prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "checks", checks_sampling(c)),
    fill=functools.partial(_fill_checked, adapter=None),
    run=lambda job: seal(job, "checks", checks_sampling(job.config), "checks_prompts"),
    languages=lambda c: checked(c.evals.checks, c.lang.languages),
    wanted=lambda c: c.evals.checks is not None,
)
CHECKED_TUNED = replace(
    CHECKED_BASE,
    name="checked_tuned",
    needs=("checks_prompts", "training"),
    fill=functools.partial(_fill_checked, adapter=ADAPTER),
)


def answers_at(step: int) -> Stage:
    """As ANSWERS_TUNED, after `step` optimiser steps."""
    return _at(ANSWERS_TUNED, _fill_answers, step)


def checked_at(step: int) -> Stage:
    """As CHECKED_TUNED, after `step` optimiser steps."""
    return _at(CHECKED_TUNED, _fill_checked, step)


def _at(tuned: Stage, answer: Callable[[Job, str], None], step: int) -> Stage:
    return replace(
        tuned,
        name=tuned.name.replace("tuned", str(step)),
        config=lambda config: {**tuned.config(config), "step": step},
        fill=lambda job: answer(job, kept.folder(step)),
    )
