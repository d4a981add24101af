"""From a reward's configuration to what scores, and to what its scores depend on."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco import records, text
from croco.config import EngineConfig, RewardConfig, SamplingConfig, locate
from croco.config.languages import english_names
from croco.config.scorers import AlignmentOptions, CombinationOptions, ImplicitOptions, JudgeOptions, options_of
from croco.engines import factory
from croco.engines.base import Scorer
from croco.engines.checkpoints import Checkpoint, adapter_identity, identity


def depends_on(engine: EngineConfig, reward: RewardConfig) -> dict[str, Any]:
    """Everything a score depends on besides the conversation, as JSON values: contents, not places."""
    if reward.kind == "function":
        function = locate("reward.function", str(reward.function))
        # An edited rule scores again.
        return {"kind": reward.kind, "function": reward.function, "source": inspect.getsource(function)}
    options = options_of(reward)
    if isinstance(options, CombinationOptions):
        parts = {name: depends_on(engine, part) for name, part in options.parts.items()}
        return {"kind": reward.kind, "parts": parts, "weights": options.weights, "vetoes": options.vetoes}
    common = {
        "kind": reward.kind,
        "model": identity(str(reward.path), reward.revision),
        "dtype": reward.dtype,
        "max_length": reward.max_length,
        "engine": engine.name,
    }
    if isinstance(options, ImplicitOptions):
        own = records.as_dict(options) | adapter_identity(options.adapter)
        for name in ("trained_with", "trained_loss", "follow"):  # how the adapter came to be, not what it is
            own.pop(name)
        return common | own
    return common | (records.as_dict(options) if reward.options else {})


def build(engine: EngineConfig, reward: RewardConfig) -> Scorer:
    """What rewards answers. Implicit and alignment rewards run in transformers whatever the engine.

    Raises:
        UserError: a part's checkpoint cannot be loaded, or is none of its kind.
    """
    options = options_of(reward)
    if isinstance(options, CombinationOptions):
        from croco.engines.combined import CombinedScorer

        parts = {name: build(engine, part) for name, part in options.parts.items()}
        return CombinedScorer(parts, options.weights, options.vetoes)
    if engine.name == "fake" or reward.kind in ("function", "sequence_classification"):
        return factory.scorer(engine, reward)
    checkpoint = Checkpoint(
        path=str(reward.path), revision=reward.revision, dtype=reward.dtype, trust_remote_code=reward.trust_remote_code
    )
    if isinstance(options, ImplicitOptions):
        from croco.engines.implicit import ImplicitScorer

        tuned = replace(checkpoint, adapter=Path(str(options.adapter)))
        return ImplicitScorer(tuned, english_names(), options.prefix, reward.max_length, engine.score_tokens)
    if isinstance(options, AlignmentOptions):
        from croco.engines.alignment import AlignmentScorer

        return AlignmentScorer(checkpoint, options.codes, options.references, reward.max_length, engine.score_tokens)
    assert isinstance(options, JudgeOptions)
    return _judge(engine, checkpoint, options, reward.max_length)


def _judge(engine: EngineConfig, checkpoint: Checkpoint, options: JudgeOptions, max_length: int) -> Scorer:
    from croco.engines.judge_scorer import JudgeScorer

    tokenizer = text.load_tokenizer(checkpoint.path, checkpoint.revision, None, checkpoint.trust_remote_code)
    greedy = SamplingConfig(samples=1, temperature=0.0, top_p=1.0, max_new_tokens=options.max_new_tokens, seed=0)
    generator = factory.generator(engine, checkpoint, tokenizer, greedy)
    bounds = (options.low, options.high)
    return JudgeScorer(generator, tokenizer, english_names(), options.template, bounds, max_length)
