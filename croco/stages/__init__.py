"""One file per artifact, glue only: read what is upstream, call the parts that know, write what comes out."""

from __future__ import annotations

from croco.stages.base import Stage


def stages() -> tuple[Stage, ...]:
    """The chain, in order."""
    from croco.stages import evaluation, generations, pairs, prompts, report, scores, training

    return (
        prompts.STAGE,
        generations.STAGE,
        scores.STAGE,
        pairs.STAGE,
        training.STAGE,
        generations.ANSWERS_BASE,
        generations.ANSWERS_TUNED,
        evaluation.STAGE,
        report.STAGE,
    )
