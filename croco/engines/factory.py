"""From configuration to an engine; the only place that knows which back ends exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from croco.artifacts.store import canonical
from croco.config import Config, EngineConfig, ModelConfig, SamplingConfig
from croco.engines.base import Generator
from croco.engines.holder import EngineHolder
from croco.language import text
from croco.models import devices
from croco.models.adapters import rank_of
from croco.models.checkpoints import Checkpoint, tokenizer_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from croco.engines.base import AdapterGenerator

ROOM_FOR_TWO = 0.5  # of a device's memory, that one of two engines may take beside the training
READ_AHEAD = 1024  # prompts that an engine of several gets at a time, where it brings them in order of length


def generator(
    engine: EngineConfig,
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    sampling: SamplingConfig,
    logps: bool = False,
    form: str | None = None,
) -> Generator:
    """What samples answers of a checkpoint, with their log-probs where `logps` (the fake engine has none).

    Args:
        engine: as the checkpoint's role has it (`EngineConfig.of`).
        form: a regular expression that an answer's text has to match; vLLM alone holds a model to it.

    Raises:
        UserError: the engine is not installed, or the checkpoint cannot be loaded.
    """

    def inside(**changes: Any) -> Callable[[], Generator]:
        return partial(
            generator, replace(engine, isolate=False, **changes), checkpoint, tokenizer, sampling, logps, form
        )

    if engine.ray is not None:
        from croco.engines.ray_engine import RayGenerator

        return RayGenerator(inside(ray=None), engine.ray, engine.environment, engine.prompts_per_unit)
    if len(places(engine)) > 1:
        from croco.engines.spread import SpreadGenerator

        window = None if takes_as_needed(engine) else READ_AHEAD
        return SpreadGenerator(inside(devices=1), [{**engine.environment, **p} for p in places(engine)], window)
    if engine.isolate:
        from croco.engines.process import IsolatedGenerator

        return IsolatedGenerator(inside(), engine.environment)
    return _here(engine, checkpoint, tokenizer, sampling, logps, form)


def _here(
    engine: EngineConfig,
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    sampling: SamplingConfig,
    logps: bool,
    form: str | None,
) -> Generator:
    """In this process."""
    if engine.name == "fake":
        from croco.engines.fake import FakeGenerator

        return FakeGenerator(tokenizer, sampling.max_new_tokens)
    drawn = sampling.temperature, sampling.top_p, sampling.max_new_tokens
    if engine.name == "vllm":
        from croco.engines.vllm_engine import VLLMGenerator

        return VLLMGenerator(checkpoint, tokenizer, *drawn, engine.prompts_per_unit, engine.given, logps, form)
    from croco.engines.hf import HFGenerator

    return HFGenerator(checkpoint, tokenizer, *drawn, engine.batch_size, logps)


def have_room_together(engine: EngineConfig) -> bool:
    """Whether a generator and a scorer may be loaded at once. vLLM takes most of a device unless it is told to take less."""
    if engine.ray is not None:
        return False  # its actors take the whole cluster
    return engine.name != "vllm" or all(engine.of(role).share < ROOM_FOR_TWO for role in ("policy", "reward"))


def places(engine: EngineConfig) -> list[Mapping[str, str]]:
    """The environment of each engine that a role has on this machine: which GPUs it sees."""
    if engine.name == "fake" or engine.ray is not None:
        return [{}]
    sizes = [int(engine.given.get(f"{kind}_parallel_size") or 1) for kind in ("tensor", "pipeline", "data")]
    return devices.places(engine.devices, math.prod(sizes))


def many(engine: EngineConfig) -> bool:
    """Whether several engines make what a role makes, so that there must be work ahead of one."""
    return engine.ray is not None or len(places(engine)) > 1


def sharing(engine: EngineConfig, count: int) -> EngineConfig:
    """A role's engine for so many models that are loaded together: of vLLM's, each has its part of what one would take."""
    if engine.name != "vllm" or count < 2 or "gpu_memory_utilization" in engine.given:
        return engine
    return replace(engine, options={**engine.given, "gpu_memory_utilization": round(engine.share / count, 3)})


def in_turns(engine: EngineConfig, engines: EngineHolder) -> EngineConfig:
    """A role's engine that may have to make room and be asked for again: vLLM's is begun so that it can sleep."""
    if engine.name != "vllm" or engine.ray is not None or not engines.makes_room:
        return engine
    return replace(engine, options={"enable_sleep_mode": True, **engine.given})


def held_generator(
    engines: EngineHolder,
    engine: EngineConfig,
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    sampling: SamplingConfig,
) -> Generator:
    """As `generator`, from what is loaded where it fits: the base stays and only the adapter changes.

    vLLM makes room for adapters when it starts, and is slower with it, so there an engine without adapters is another one.
    """
    engine = in_turns(engine, engines)
    drawn = replace(sampling, samples=1, seed=0)  # requests carry both
    options = canonical(engine.given)  # one checkpoint may have two roles
    rank = None if engine.name == "hf" or checkpoint.adapter is None else rank_of(checkpoint.adapter)

    def build() -> Generator:
        return generator(engine, checkpoint, tokenizer, sampling)

    if engine.ray is not None or engine.name == "fake" or (engine.name == "vllm" and rank is None):
        return engines.get(("generator", checkpoint, astuple(drawn), options), build)
    held = engines.get(("generator", replace(checkpoint, adapter=None), rank, astuple(drawn), options), build)
    cast("AdapterGenerator", held).use(checkpoint.adapter)
    return held


def takes_as_needed(engine: EngineConfig) -> bool:
    """Whether a generator asks for requests when it has room; transformers reads ahead, to bring prompts in order of length."""
    return engine.name != "hf" or engine.ray is not None


def policy(model: ModelConfig) -> Checkpoint:
    """The policy before training."""
    return Checkpoint(
        path=model.path,
        revision=model.revision,
        dtype=model.dtype,
        attention=model.attention,
        trust_remote_code=model.trust_remote_code,
        chat_template=model.chat_template,
        adapter=None if model.adapter is None else Path(model.adapter),
        template_options=canonical(model.template_options or {}),
    )


def candidates(config: Config) -> Checkpoint:
    """Whose answers are paired: the policy's, or another model's."""
    return policy(config.model) if config.source.kind == "on_policy" else other(config)


def other(config: Config) -> Checkpoint:
    """The model of off-policy answers."""
    source = config.source
    return replace(
        policy(config.model),
        path=str(source.model),
        revision=source.revision,
        chat_template=None if source.adapter is None else config.model.chat_template,
        adapter=None if source.adapter is None else Path(source.adapter),
    )


def samples_as(config: Config, source: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the ids that a source's answers were sampled as mean the same to the policy's tokenizer."""
    if source == "off_policy":
        return config.source.model is not None and text.alike(tokenizer, tokenizer_of(other(config)))
    return source in ("on_policy", "reference")  # the latter's ids are made by the policy's tokenizer
