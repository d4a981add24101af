"""One dataclass per evaluation (`conf/evals/`), a docstring per field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from croco.config.arena import ArenaConfig
from croco.config.paths import PACKAGE
from croco.config.rewards import RewardConfig, RewardRankingConfig

CHECKED = PACKAGE / "evals" / "checks" / "data"  # languages with prompts of our own


@dataclass
class QualityConfig:
    """Evaluation by a grading function on held-out prompts."""

    grader: str
    """`module:name` of f(meta, language, answer) -> a dataclass (or object) with a float attribute `quality` in [0, 1]; its
    other numbers are kept, and its `language`, where it has one, is the table's fidelity."""
    samples: int
    """Answers per held-out prompt and language, drawn as in `sampling`."""
    resamples: int
    """Bootstrap resamples of prompts."""
    confidence: float
    seconds: float | None
    """Longest time of one call of the grader; null waits for ever."""


@dataclass
class ChecksConfig:
    """Instruction following that a rule can check, and what an answer's text shows without a judge."""

    prompts: int
    """Prompts of our own per language, drawn from templates in seven languages; 0 for none."""
    path: str | None
    """A file in IFEval's format, or a folder of `<language>.jsonl`, whose prompts are asked too."""
    seed: int
    """Of our own prompts."""
    topics: str
    """Of our own prompts: `all`, or `heldout`, those that `prompts=checks` does not train on."""
    samples: int
    """Answers per prompt and language."""
    temperature: float
    """0 takes the likeliest token."""
    max_new_tokens: int | None
    """null takes sampling's."""
    average: str
    """What the instruction level is a mean over: `instructions` (IFEval's), or `prompts`, each with its own share."""
    resamples: int
    """Bootstrap resamples of prompts."""
    confidence: float


@dataclass
class EuroEvalConfig:
    """EuroEval's benchmarks, run by its own command in its own environment."""

    executable: str
    """`bin/euroeval` of the environment that `make euroeval` sets up, or of another."""
    datasets: dict[str, list[str]]
    """Data sets of each language; a language with an empty list has none."""
    languages: list[str] | None
    """Languages that are measured, of `datasets`; null takes those of lang.languages."""
    iterations: int
    """Bootstrap samples of every test set; the standard error comes from their spread, so a few are too few."""
    few_shot: bool
    test_split: bool
    """Else the validation split."""
    custom_datasets: str | None
    """A Python file that defines further data sets."""
    options: dict[str, Any]
    """Further options of the command, e.g. `gpu-memory-utilization: 0.95`."""
    confidence: float


@dataclass
class DistanceConfig:
    """How far the training data is from what the policy itself would write."""

    prompts: int
    """Prompts per language whose answers are measured."""


@dataclass
class GoldConfig:
    """A second reward, which pairs and training know nothing of: what it says of held-out answers, beside the run's own."""

    reward: RewardConfig
    """As the group `reward`, from which it is chosen: `reward@evals.gold.reward=CHOICE`."""
    resamples: int
    """Bootstrap resamples of prompts."""
    confidence: float


def checked(checks: ChecksConfig | None, languages: Sequence[str]) -> list[str]:
    """The languages in which checks ask anything: those with prompts of our own, or all where a file brings its own."""
    if checks is None or checks.path is not None:
        return list(languages)
    return [language for language in languages if (CHECKED / f"{language}.yaml").is_file()]


@dataclass
class EvalsConfig:
    """What is measured; null is not measured."""

    quality: QualityConfig | None = None
    checks: ChecksConfig | None = None
    euroeval: EuroEvalConfig | None = None
    reward_ranking: RewardRankingConfig | None = None
    distance: DistanceConfig | None = None
    arena: ArenaConfig | None = None
    gold: GoldConfig | None = None
    primary: str | None = None
    """The endpoint that was chosen beforehand, EVALUATION.METRIC (`checks.prompt_strict`): it stands first in an experiment's
    table. No run depends on it."""
    tuned: str | None = None
    """PEFT folder of the policy that is measured where nothing is trained: method=none puts model.adapter here."""
    checkpoints: Any = None
    """Quality, checks and gold are measured during training too, and with quality or gold the run's own reward of the same
    answers: how many equal parts it is cut into (4: after each quarter), or a list of optimiser steps. The first and the last
    step are always there; null measures only these, and draws no curve."""
