"""One file per artifact, glue only: read what is upstream, call the parts that know, write what comes out."""

from __future__ import annotations

import functools
from dataclasses import replace

from croco.stages.base import Stage


def stages() -> tuple[Stage, ...]:
    """The chain, in order."""
    from croco.stages import (
        arena,
        arena_answers,
        arena_prompts,
        arena_verdicts,
        checks,
        distance,
        euroeval,
        generations,
        pairs,
        prompts,
        quality,
        references,
        report,
        reward_ranking,
        rounds,
        scores,
        sources,
        training,
    )

    repeated = rounds.Parts(generations.STAGE, scores.STAGE, pairs.STAGE, training.STAGE, training.run)
    return (
        arena_prompts.STAGE,
        replace(prompts.STAGE, more=functools.partial(rounds.stages_of, repeated)),
        checks.PROMPTS,
        euroeval.DATA,
        arena_prompts.HELDOUT,
        generations.STAGE,
        scores.STAGE,
        sources.other_generations(generations.STAGE),
        sources.other_scores(scores.STAGE),
        references.STAGE,
        sources.reference_scores(scores.STAGE),
        reward_ranking.stage(scores.STAGE),
        pairs.STAGE,
        training.STAGE,
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
        *arena_answers.stages(generations.slice_of, generations.fill, generations.seal),
        arena_verdicts.STAGE,
        arena.STAGE,
        report.STAGE,
    )
