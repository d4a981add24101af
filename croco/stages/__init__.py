"""One file per artifact, glue only: read what is upstream, call the parts that know, write what comes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from croco.artifacts.store import Artifact, Artifacts
from croco.config import Config
from croco.config.worlds import reads_reward
from croco.evals.comparing.overoptimisation import GOLD, PROXY
from croco.stages.base import Stage, brought

if TYPE_CHECKING:
    from croco.stages.by_step import Measured


def stages() -> tuple[Stage, ...]:
    """The chain, in order."""
    from croco.stages import (
        checks,
        distance,
        euroeval,
        generations,
        given,
        preferences,
        prompts,
        quality,
        ready,
        report,
        reward_model,
        reward_ranking,
        scores,
        training,
        translations,
    )
    from croco.stages.arena import answers, results, verdicts
    from croco.stages.arena import prompts as questions

    return (
        _rewarded(preferences.STAGE),
        _rewarded(reward_model.STAGE),
        questions.STAGE,
        *translations.stages(prompts.STAGE),
        ready.DATA,
        ready.prompts(prompts.STAGE),
        _only(replace(prompts.STAGE, more=_rounds()), "generated"),
        reward_ranking.stage(scores.STAGE),  # before anything is generated
        checks.PROMPTS,
        euroeval.DATA,
        questions.HELDOUT,
        *map(given.only_to_train, _paired()),
        given.STAGE,
        given.only_to_train(replace(training.STAGE, more=_by_step(scores.STAGE))),
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


def _paired() -> tuple[Stage, ...]:
    """What makes or brings answers and scores, the policy's and others', and pairs of them."""
    from croco.stages import generations, pairs, ready, references, scores, sources

    return (
        _only(generations.STAGE, "generated"),
        ready.generations(generations.STAGE),
        _only(scores.STAGE, "generated", "answers"),
        ready.scores(scores.STAGE),
        sources.other_generations(generations.STAGE),
        sources.other_scores(scores.STAGE),
        references.STAGE,
        sources.reference_scores(scores.STAGE),
        _only(pairs.STAGE, "generated", "answers", "scores"),
        ready.pairs(pairs.STAGE),
    )


def _rounds() -> Callable[[Config, Mapping[str, Artifact | Artifacts]], Sequence[Stage]]:
    """What an online method repeats."""
    from croco.stages import generations, pairs, rounds, scores, training

    repeated = rounds.Parts(generations.STAGE, scores.STAGE, pairs.STAGE, training.STAGE, training.run)
    return functools.partial(rounds.stages_of, repeated)


def _only(stage: Stage, *kinds: str) -> Stage:
    """Where the data are of these kinds."""
    return replace(stage, wanted=lambda config: brought(config, *kinds) and stage.wanted(config))


def _rewarded(stage: Stage) -> Stage:
    """Where something reads the reward."""
    return replace(stage, wanted=lambda config: reads_reward(config) and stage.wanted(config))


def behind_training(config: Config) -> list[Stage]:
    """Stages that come of what training has made and that `stages` does not have, by numbers for steps (`by_step.planned`)."""
    from croco.stages import by_step, scores

    there = {stage.name for stage in stages() if stage.wanted(config)}
    return [one for one in by_step.planned(_measured(scores.STAGE), config) if one.name not in there]


def _by_step(scores: Stage) -> Callable[[Config, Mapping[str, Artifact | Artifacts]], Sequence[Stage]]:
    """What measures the adapters of chosen steps of training."""
    from croco.stages import by_step

    return functools.partial(by_step.stages_of, _measured(scores))


def _measured(scores: Stage) -> Sequence[Measured]:
    from croco.stages import by_step, checks, generations, proxies, quality

    def rewarded(metric: str, view: Callable[[Config], Config], wanted: Callable[[Config], bool]) -> by_step.Measured:
        """Answers scored by a reward, the run's own or the gold one; `view` is the run with that reward as its own."""

        def both(answers: Stage) -> tuple[Stage, Stage]:
            return answers, proxies.stage(scores, metric, view, answers)

        return by_step.Measured(
            name=metric,
            metric=metric,
            wanted=wanted,
            config=proxies.slice_of,
            settings=proxies.settings_of,
            prompts="prompts",
            base=both(generations.ANSWERS_BASE),
            tuned=both(generations.ANSWERS_TUNED),
            at=lambda step: both(generations.answers_at(step)),
            graded=functools.partial(proxies.results, metric),
        )

    return (
        by_step.Measured(
            name=quality.STAGE.name,
            metric="quality",
            wanted=quality.STAGE.wanted,
            config=quality.STAGE.config,
            settings=quality.settings_of,
            prompts="prompts",
            base=(generations.ANSWERS_BASE,),
            tuned=(generations.ANSWERS_TUNED,),
            at=lambda step: (generations.answers_at(step),),
            graded=quality.graded,
        ),
        by_step.Measured(
            name=checks.STAGE.name,
            metric=checks.METRIC,
            wanted=checks.STAGE.wanted,
            config=checks.STAGE.config,
            settings=checks.settings_of,
            prompts="checks_prompts",
            base=(generations.CHECKED_BASE,),
            tuned=(generations.CHECKED_TUNED,),
            at=lambda step: (generations.checked_at(step),),
            graded=checks.graded,
        ),
        rewarded(GOLD, proxies.gold, proxies.has_gold),
        rewarded(PROXY, proxies.proxy, proxies.follows),
    )
