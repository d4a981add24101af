"""What a YAML cannot express of a reward and all its parts; each message names the key to change."""

from __future__ import annotations

from typing import Any

from croco.config import functions
from croco.config.rewards import RewardConfig
from croco.config.scorers import (
    AGGREGATES,
    CHECKPOINTS,
    ENGLISH,
    KINDS,
    REWARD_ARGUMENTS,
    AlignmentOptions,
    CombinationOptions,
    EnsembleOptions,
    FunctionOptions,
    ImplicitOptions,
    JudgeOptions,
    options_of,
    preferences_of,
)
from croco.config.targets import bind_target, one_of, require


def check_reward(reward: RewardConfig, languages: list[str], key: str = "reward") -> None:
    """Checks of a reward and all its parts; raises UserError with the key to change."""
    one_of(f"{key}.kind", reward.kind, KINDS)
    one_of(f"{key}.dtype", reward.dtype, ("float32", "bfloat16"))
    require(reward.kind not in CHECKPOINTS or reward.path is not None, f"{key}.path: name the checkpoint that scores")
    require(reward.kind != "function" or reward.function is not None, f"{key}.function: name it as module:function")
    if reward.kind == "function":
        functions.usable(f"{key}.function", str(reward.function), REWARD_ARGUMENTS)
    options = options_of(reward, key)
    if isinstance(options, FunctionOptions):
        seconds = options.seconds
        require(seconds is None or seconds > 0, f"{key}.options.seconds: must be positive, or null")
    one_of(f"{key}.aggregate", reward.aggregate, AGGREGATES)
    one_of(f"{key}.below", reward.below, ("stop", "leave_out"))
    require(reward.length in (None, "control"), f"{key}.length: '{reward.length}' is not one of control, null")
    _check_least(reward.least_accuracy, languages, f"{key}.least_accuracy")
    if reward.kind == "trained":
        _check_trained(reward, key)
    if isinstance(options, EnsembleOptions):
        require(len(options.models) > 1, f"{key}.options.models: an ensemble has at least two")
        one_of(f"{key}.options.aggregate", options.aggregate, AGGREGATES)
    require(
        reward.kind not in ("implicit", "alignment") or ENGLISH in languages,
        f"lang.languages: {key}.kind={reward.kind} compares with English; add 'en'",
    )
    if isinstance(options, ImplicitOptions):
        require("{language}" in options.prefix, f"{key}.options.prefix: must contain {{language}}")
        require(
            options.length_step is None or 0 < options.length_step <= 1,
            f"{key}.options.length_step: must lie in (0, 1]",
        )
        if options.adapter is None:
            require(options.trained_with is not None, f"{key}.options.adapter: name the adapter, or what trains it")
            assert options.trained_with is not None
            require(
                options.trained_with.kind != "implicit",
                f"{key}.options.trained_with.kind: an implicit reward cannot train itself",
            )
            check_reward(options.trained_with, [ENGLISH], f"{key}.options.trained_with")
            bind_target(f"{key}.options.trained_loss", options.trained_loss)
    if isinstance(options, AlignmentOptions):
        missing = sorted(set(languages) - set(options.codes))
        require(not missing, f"{key}.options.codes: no code for {', '.join(missing)}")
        require(options.references is None or options.references >= 1, f"{key}.options.references: must be at least 1")
    if isinstance(options, JudgeOptions):
        _check_judge(options, key)
    if isinstance(options, CombinationOptions):
        _check_combination(options, languages, key)


def _check_trained(reward: RewardConfig, key: str) -> None:
    training = reward.training
    require(reward.base is not None, f"{key}.base: name the checkpoint that is trained")
    require(training is not None, f"{key}.training: says how it is trained; choose reward=trained")
    assert training is not None
    one_of(f"{key}.training.tune", training.tune, ("lora", "full", "head"))
    one_of(f"{key}.training.schedule", training.schedule, ("cosine", "linear", "constant"))
    require(training.tune != "lora" or training.lora is not None, f"{key}.training.lora: tune=lora needs its settings")
    require(
        training.tune != "full" or reward.dtype == "float32",
        f"{key}.dtype: tune=full trains the weights themselves, which takes float32",
    )
    bind_target(f"{key}.training.loss", training.loss)
    require(reward.members >= 1, f"{key}.members: must be at least 1")
    require(training.batch_size >= 1, f"{key}.training.batch_size: must be at least 1")
    require(training.epochs > 0, f"{key}.training.epochs: must be positive")
    require(0 < training.heldout < 1, f"{key}.training.heldout: must lie in (0, 1)")
    require(len(training.languages) > 0, f"{key}.training.languages: choose at least one")
    for number, source in enumerate(preferences_of(reward, key)):
        own = f"{key}.preferences[{number}]"
        require(source.weight > 0, f"{own}.weight: must be positive")
        require(source.limit is None or source.limit >= 1, f"{own}.limit: must be at least 1, or null")


def _check_least(least: Any, languages: list[str], key: str) -> None:
    by_language = least if isinstance(least, dict) else dict.fromkeys(languages, least)
    for language, share in by_language.items():
        known = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share < 1
        require(share is None or known, f"{key}: {share!r} ({language}) is not a share in [0, 1)")


def _check_judge(options: JudgeOptions, key: str) -> None:
    for name in ("{prompt}", "{answer}"):
        require(name in options.template, f"{key}.options.template: must contain {name}")
    require(options.low < options.high, f"{key}.options.low: must lie below high={options.high}")
    require(options.max_new_tokens >= 1, f"{key}.options.max_new_tokens: must be at least 1")
    require(0 <= options.max_unreadable <= 1, f"{key}.options.max_unreadable: must lie in [0, 1]")


def _check_combination(options: CombinationOptions, languages: list[str], key: str) -> None:
    require(len(options.weights) > 0, f"{key}.options.weights: give at least one part a weight")
    named = {"weights": set(options.weights), "vetoes": set(options.vetoes)}
    for setting, names in named.items():
        unknown = sorted(names - set(options.parts))
        require(not unknown, f"{key}.options.{setting}.{unknown[0] if unknown else ''}: no such part")
    idle = sorted(set(options.parts) - named["weights"] - named["vetoes"])
    require(not idle, f"{key}.options.parts.{idle[0] if idle else ''}: has neither a weight nor a veto")
    for name, part in options.parts.items():
        own = f"{key}.options.parts.{name}"
        check_reward(part, languages, own)
        require(part.length is None, f"{own}.length: lengths are controlled for the whole reward; set {key}.length")
        length = options_of(part, own).length_step if part.kind == "implicit" else None
        require(
            length is None, f"{own}.options.length_step: lengths are controlled for one reward alone; set it to null"
        )
