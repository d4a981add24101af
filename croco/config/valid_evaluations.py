"""What a YAML cannot express of evaluations; each message names the key to change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from croco.config import functions
from croco.config.evaluations import ChecksConfig, EuroEvalConfig, QualityConfig, checked
from croco.config.groups import Config
from croco.config.languages import settings
from croco.config.rewards import RewardRankingConfig
from croco.config.scorers import parts_of
from croco.config.targets import one_of, require
from croco.config.valid_rewards import check_reward


def check_quality(quality: QualityConfig | None, source: str) -> None:
    """Checks of one evaluation, before anything that leads to it is made; raises UserError with the key to change."""
    if quality is None:
        return
    require(
        source == "tiny" or not quality.grader.startswith("croco.tiny."),
        f"evals.quality.grader: {quality.grader} grades prompts=tiny only; name your own as module:name, or evals=checks",
    )
    functions.usable("evals.quality.grader", quality.grader, ("meta", "language", "answer"))
    require(quality.seconds is None or quality.seconds > 0, "evals.quality.seconds: must be positive, or null")
    require(quality.samples >= 1, "evals.quality.samples: must be at least 1")
    require(quality.resamples >= 1, "evals.quality.resamples: must be at least 1")
    require(0 < quality.confidence < 1, "evals.quality.confidence: must lie in (0, 1), e.g. 0.95")


def check_checks(checks: ChecksConfig | None, source: str, languages: Sequence[str]) -> None:
    """Checks of one evaluation; raises UserError with the key to change."""
    if checks is None:
        return
    require(
        checks.prompts >= 1 or checks.path is not None,
        "evals.checks.prompts: nothing is asked; at least 1, or evals.checks.path=FILE",
    )
    require(checks.prompts >= 0, "evals.checks.prompts: must be at least 0")
    require(
        len(checked(checks, languages)) > 0,
        f"evals.checks.prompts: no prompts of our own in {', '.join(sorted(languages))}; evals=none, or "
        "evals.checks.prompts=0 with evals.checks.path=FILE in IFEval's format",
    )
    require(
        checks.path is None or Path(checks.path).exists(), f"evals.checks.path: {checks.path}: no such file or folder"
    )
    one_of("evals.checks.topics", checks.topics, ("all", "heldout"))
    require(
        source != "checks" or checks.topics == "heldout" or not checks.prompts,
        "evals.checks.topics: prompts=checks trains on some of all topics; heldout",
    )
    require(checks.samples >= 1, "evals.checks.samples: must be at least 1")
    require(
        checks.average in ("instructions", "prompts"),
        f"evals.checks.average: '{checks.average}' is neither instructions nor prompts",
    )
    require(checks.temperature >= 0, "evals.checks.temperature: must be at least 0")
    require(
        checks.samples == 1 or checks.temperature > 0,
        "evals.checks.samples: at temperature 0 all answers to a prompt are the same; 1, or a temperature above 0",
    )
    require(
        checks.max_new_tokens is None or checks.max_new_tokens >= 1, "evals.checks.max_new_tokens: must be at least 1"
    )
    require(checks.resamples >= 1, "evals.checks.resamples: must be at least 1")
    require(0 < checks.confidence < 1, "evals.checks.confidence: must lie in (0, 1), e.g. 0.95")


def check_euroeval(euroeval: EuroEvalConfig | None, languages: list[str]) -> None:
    """Checks of one evaluation; raises UserError with the key to change."""
    if euroeval is None:
        return
    measured = euroeval.languages if euroeval.languages is not None else languages
    for language in measured:
        require(
            language in euroeval.datasets or settings(language).euroeval is None,
            f"evals.euroeval.datasets: no list for '{language}'; give one, '+evals.euroeval.datasets.{language}=[NAME,...]', or "
            f"say `euroeval: null` in conf/language/{language}.yaml where EuroEval has no data set",
        )
    require(
        any(euroeval.datasets.get(language) for language in measured),
        f"evals.euroeval.datasets: no data set in any of {', '.join(measured)}",
    )
    for language, names in euroeval.datasets.items():
        require(len(set(names)) == len(names), f"evals.euroeval.datasets.{language}: a data set is listed twice")
    every = [name for language in measured for name in euroeval.datasets.get(language, ())]
    require(len(set(every)) == len(every), "evals.euroeval.datasets: a data set is listed in two languages")
    require(euroeval.iterations >= 2, "evals.euroeval.iterations: must be at least 2, or there is no standard error")
    require(
        euroeval.custom_datasets is None or Path(euroeval.custom_datasets).is_file(),
        f"evals.euroeval.custom_datasets: {euroeval.custom_datasets}: no such file",
    )
    require(0 < euroeval.confidence < 1, "evals.euroeval.confidence: must lie in (0, 1), e.g. 0.95")


def check_gold(config: Config) -> None:
    """Checks of one evaluation; raises UserError with the key to change."""
    gold = config.evals.gold
    if gold is None:
        return
    key, reward = "evals.gold.reward", gold.reward
    check_reward(reward, config.lang.languages, key)
    for own, part in parts_of(reward, key):
        require(
            part.kind not in ("trained", "implicit", "alignment"),
            f"{own}.kind: {part.kind} belongs to the run's own reward; gold is a finished one: name it with reward=custom "
            f"(reward@{key}=custom {key}.path=CHECKPOINT), or a judge or a function",
        )
    for name in ("length", "least_accuracy", "measured"):
        require(getattr(reward, name) is None, f"{key}.{name}: is of the run's own reward; set it to null")
    require(
        config.method.refresh_every is None,
        "evals.gold: not with method.refresh_every, whose rounds are trainings of their own; leave it out",
    )
    require(gold.resamples >= 1, "evals.gold.resamples: must be at least 1")
    require(0 < gold.confidence < 1, "evals.gold.confidence: must lie in (0, 1), e.g. 0.95")


def check_reward_ranking(ranking: RewardRankingConfig | None, known: list[str]) -> None:
    """Checks of one evaluation; raises UserError with the key to change."""
    if ranking is None:
        return
    one_of("evals.reward_ranking.pivot", ranking.pivot, tuple(known))
    require(ranking.limit is None or ranking.limit >= 1, "evals.reward_ranking.limit: must be at least 1, or null")
    require(ranking.resamples >= 1, "evals.reward_ranking.resamples: must be at least 1")
    require(0 < ranking.confidence < 1, "evals.reward_ranking.confidence: must lie in (0, 1), e.g. 0.95")
    path = ranking.path
    hub_id = path is not None and not path.startswith((".", "/", "~")) and path.count("/") == 1
    require(
        path is None or hub_id or Path(path).exists(),
        f"evals.reward_ranking.path: {path}: no such file, folder or hub id",
    )


def check_checkpoints(config: Config) -> None:
    """Steps that are there to be measured, and something to measure."""
    wanted = config.evals.checkpoints
    if wanted is None:
        return
    parts = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 2
    steps = isinstance(wanted, list) and all(type(step) is int and step >= 0 for step in wanted)
    require(
        parts or steps,
        f"evals.checkpoints: {wanted} is neither a number of parts (at least 2) nor a list of optimiser steps, e.g. 4 or [9,18]",
    )
    evals = config.evals
    require(
        any(one is not None for one in (evals.quality, evals.checks, evals.gold)),
        "evals.checkpoints: only quality, checks and gold are measured by step; add one, e.g. evals=quality",
    )
    require(
        config.method.refresh_every is None,
        "evals.checkpoints: not with method.refresh_every, whose rounds are trainings of their own; set it to null",
    )
