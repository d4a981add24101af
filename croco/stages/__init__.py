"""One file per artifact, glue only: read what is upstream, call the parts that know, write what comes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from croco.artifacts.store import Artifact, Artifacts
from croco.config import Config
from croco.stages.base import Stage


def stages() -> tuple[Stage, ...]:
    """The chain, in order."""
    from croco.stages import (
        checks,
        distance,
        euroeval,
        generations,
        given,
        pairs,
        preferences,
        prompts,
        quality,
        references,
        report,
        reward_model,
        reward_ranking,
        rounds,
        scores,
        sources,
        training,
        translations,
    )
    from croco.stages.arena import answers, results, verdicts
    from croco.stages.arena import prompts as questions

    repeated = rounds.Parts(generations.STAGE, scores.STAGE, pairs.STAGE, training.STAGE, training.run)
    pools = (generations.STAGE, scores.STAGE)
    others = (sources.other_generations(generations.STAGE), sources.other_scores(scores.STAGE))
    own = (references.STAGE, sources.reference_scores(scores.STAGE))
    return (
        preferences.STAGE,
        reward_model.STAGE,
        questions.STAGE,
        *translations.stages(prompts.STAGE),
        replace(prompts.STAGE, more=functools.partial(rounds.stages_of, repeated)),
        reward_ranking.stage(scores.STAGE),  # before anything is generated
        checks.PROMPTS,
        euroeval.DATA,
        questions.HELDOUT,
        *map(given.only_to_train, (*pools, *others, *own, pairs.STAGE)),
        given.STAGE,
        given.only_to_train(replace(training.STAGE, more=_by_step())),
        generations.ANSWERS_BASE,
        generations.ANSWERS_TUNED,
        quality.STAGE,
        generations.CHECKED_BASE,
        generations.CHECKED_TUNED,
        checks.STAGE,
        euroeval.BASE,
        euroeval.TUNED,
        euroeval.STAGE,
        distance.STAGE,
        *answers.stages(),
        verdicts.STAGE,
        results.STAGE,
        report.STAGE,
    )


def _by_step() -> Callable[[Config, Mapping[str, Artifact | Artifacts]], Sequence[Stage]]:
    """What measures the adapters of chosen steps of training."""
    from croco.stages import by_step, checks, generations, quality

    measured = (
        by_step.Measured(
            stage=quality.STAGE,
            prompts="prompts",
            base=generations.ANSWERS_BASE,
            tuned=generations.ANSWERS_TUNED,
            at=generations.answers_at,
            graded=quality.graded,
            metric="quality",
        ),
        by_step.Measured(
            stage=checks.STAGE,
            prompts="checks_prompts",
            base=generations.CHECKED_BASE,
            tuned=generations.CHECKED_TUNED,
            at=generations.checked_at,
            graded=checks.graded,
            metric=checks.METRIC,
        ),
    )
    return functools.partial(by_step.stages_of, measured)
