"""From a reward's configuration to what scores, and to what its scores depend on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.config import EngineConfig, RewardConfig, SamplingConfig, functions
from croco.config.languages import english_names
from croco.config.scorers import (
    REWARD_ARGUMENTS,
    AlignmentOptions,
    CombinationOptions,
    EnsembleOptions,
    ImplicitOptions,
    JudgeOptions,
    options_of,
)
from croco.engines import factory
from croco.engines.base import Scorer
from croco.language import text
from croco.models.checkpoints import Checkpoint, adapter_identity, context_of
from croco.models.slices import checkpoint_slice, engine_slice

JUDGE_READING = 2
"""Raised when another number is read of the same words (croco/rewards/judge.py): a tagged one alone since 2."""


def depends_on(engine: EngineConfig, reward: RewardConfig) -> dict[str, Any]:
    """Everything a score depends on besides the conversation, as JSON values: contents, not places."""
    engine = engine.of("reward")
    if reward.kind == "function":
        # An edited rule scores again.
        return {"kind": reward.kind, "function": functions.identity("reward.function", str(reward.function))}
    options = options_of(reward)
    if isinstance(options, CombinationOptions):
        parts = {name: depends_on(engine, part) for name, part in options.parts.items()}
        return {"kind": reward.kind, "parts": parts, "weights": options.weights, "vetoes": options.vetoes}
    if reward.kind == "trained":  # by which model, the artifact says that it is read from
        names = ("kind", "dtype", "max_length", "aggregate")
        return {**{name: getattr(reward, name) for name in names}, **engine_slice(engine)}
    if isinstance(options, EnsembleOptions):
        single = replace(reward, kind="sequence_classification", options={})
        members = [depends_on(engine, replace(single, path=path)) for path in options.models]
        return {"kind": reward.kind, "members": members, "aggregate": options.aggregate}
    common = {
        "kind": reward.kind,
        **checkpoint_slice(checkpoint(reward)),
        "max_length": reward.max_length,
        **engine_slice(engine),
    }
    if isinstance(options, ImplicitOptions):
        own = records.as_dict(options) | adapter_identity(options.adapter)
        for name in ("trained_with", "trained_loss", "follow"):  # how the adapter came to be, not what it is
            own.pop(name)
        return common | own
    own = records.as_dict(options) if reward.options else {}
    own.pop("max_unreadable", None)  # it accepts or refuses the rows, and changes none
    if isinstance(options, JudgeOptions):
        own["reading"] = JUDGE_READING
        if not (own.pop("guided") and engine.name == "vllm"):  # nobody is held to anything
            return common | own
        own["form"] = _form(options)
    return common | own


def scorer(engine: EngineConfig, reward: RewardConfig) -> Scorer:
    """What rewards answers. Implicit and alignment rewards run in transformers whatever the engine; a function needs none.

    Raises:
        UserError: the engine is not installed, or a part's checkpoint cannot be loaded or is none of its kind.
    """
    engine, count, options = engine.of("reward"), models_of(reward), options_of(reward)
    if count and len(factory.places(engine)) > 1:
        from croco.engines.spread import SpreadScorer

        inside = replace(engine, devices=1, isolate=engine.isolate and count > 1)
        environments = [{**engine.environment, **place} for place in factory.places(engine)]
        return SpreadScorer(partial(scorer, inside, reward), environments)
    engine = factory.sharing(engine, count)
    if isinstance(options, CombinationOptions):
        from croco.rewards.combined import CombinedScorer

        parts = {name: scorer(engine, part) for name, part in options.parts.items()}
        return CombinedScorer(parts, options.weights, options.vetoes)
    if isinstance(options, EnsembleOptions):
        from croco.rewards.ensemble import EnsembleScorer

        single = replace(reward, kind="sequence_classification", options={})
        members = [scorer(engine, replace(single, path=path)) for path in options.models]
        return EnsembleScorer(members, options.aggregate)
    if reward.kind == "function":
        from croco.rewards.function import FunctionScorer

        function = functions.usable("reward.function", str(reward.function), REWARD_ARGUMENTS)
        return FunctionScorer(function, str(reward.function), options.seconds)
    if engine.name == "fake":
        from croco.engines.fake import FakeScorer

        return FakeScorer()
    if isinstance(options, ImplicitOptions):
        from croco.rewards.implicit import ImplicitScorer

        tuned = replace(checkpoint(reward), adapter=Path(str(options.adapter)))
        return ImplicitScorer(tuned, english_names(), options.prefix, reward.max_length, engine.score_tokens)
    if isinstance(options, AlignmentOptions):
        from croco.rewards.alignment import AlignmentScorer

        model = checkpoint(reward)
        return AlignmentScorer(model, options.codes, options.references, reward.max_length, engine.score_tokens)
    return _judge(engine, reward, options) if isinstance(options, JudgeOptions) else _classifier(engine, reward)


def models_of(reward: RewardConfig) -> int:
    """How many models a reward has loaded at once."""
    options = options_of(reward)
    if isinstance(options, CombinationOptions):
        return sum(map(models_of, options.parts.values()))
    return len(options.models) if isinstance(options, EnsembleOptions) else int(reward.kind != "function")


def checkpoint(reward: RewardConfig) -> Checkpoint:
    """The model that a reward is read from."""
    return Checkpoint(
        path=str(reward.path),
        revision=reward.revision,
        dtype=reward.dtype,
        attention=reward.attention,
        trust_remote_code=reward.trust_remote_code,
    )


def _judge(engine: EngineConfig, reward: RewardConfig, options: JudgeOptions) -> Scorer:
    from croco.rewards.judge import JudgeScorer

    model = checkpoint(reward)
    tokenizer = text.load_tokenizer(model.path, model.revision, None, model.trust_remote_code)
    held = _form(options) if options.guided else None
    greedy = SamplingConfig(samples=1, temperature=0.0, top_p=1.0, max_new_tokens=options.max_new_tokens, seed=0)
    longest = min(context_of(model), reward.max_length + options.max_new_tokens)
    generator = factory.generator(engine.reading(longest), model, tokenizer, greedy, form=held)
    bounds = (options.low, options.high)
    return JudgeScorer(generator, tokenizer, english_names(), options.template, bounds, reward.max_length)


def _form(options: JudgeOptions) -> str:
    from croco.rewards import judge

    return judge.form(options.template, (options.low, options.high))


def _classifier(engine: EngineConfig, reward: RewardConfig) -> Scorer:
    """A sequence classifier with one label, in the engine: on a cluster, in a process of its own, or here."""
    if engine.ray is not None:
        from croco.engines.ray_engine import RayScorer

        inside = partial(scorer, replace(engine, isolate=False, ray=None), reward)
        return RayScorer(inside, engine.ray, engine.environment)
    if engine.isolate:
        from croco.engines.process import IsolatedScorer

        return IsolatedScorer(partial(scorer, replace(engine, isolate=False), reward), engine.environment)
    if engine.name == "vllm":
        from croco.engines.vllm_engine import VLLMScorer

        return VLLMScorer(checkpoint(reward), reward.max_length, engine.given)
    from croco.engines.hf import HFScorer

    return HFScorer(checkpoint(reward), reward.max_length, engine.score_tokens)
