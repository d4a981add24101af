"""Whether vLLM will take a model as its role's engine is set, from the model's config.json: asked before any work."""

from __future__ import annotations

from typing import Any

from croco.config import Config, EngineConfig
from croco.config.running import NAMED
from croco.errors import UserError
from croco.models.checkpoints import Checkpoint, configuration, context_length

FROM_FILE = ("awq", "gptq", "compressed-tensors", "quark")
"""Kinds of quantisation that only a checkpoint stored that way has; others are computed as weights are loaded."""
REPACKED = ("humming", "inc", "moe_wna16", "online")
"""Kinds that read checkpoints of several others."""


def fits(config: Config, role: str, checkpoint: Checkpoint, reads: int = 0, writes: int = 0) -> list[str]:
    """Context, attention heads and quantisation against what is set; warnings.

    Args:
        reads: tokens of the longest prompt, 0 where that is not known.
        writes: tokens of the longest answer.

    Raises:
        UserError: vLLM would refuse the model, or a prompt; names the key and one that is right for the role alone.
    """
    if config.engine.name != "vllm":
        return []
    given = dict(config.engine.of(role).given)
    if role == "judge":
        given |= config.judge.engine_options
    model = configuration(checkpoint)
    _heads(config, role, checkpoint.path, model.get_text_config(), given.get("tensor_parallel_size") or 1)
    _quantized(config, role, checkpoint.path, model, given.get("quantization"))
    length = given.get("max_model_len")
    return (
        [] if length is None else _length(config, role, checkpoint.path, context_length(model), length, reads, writes)
    )


def _length(config: Config, role: str, path: str, context: int, length: int, reads: int, writes: int) -> list[str]:
    key, own = _key(config, role, "max_model_len"), f"engine.roles.{role}.max_model_len"
    if role == "reward" and not writes:
        length = min(length, config.reward.max_length)  # as the scorer does
    if length > context:
        raise UserError(f"{key}: {length:,} is beyond the {context:,} tokens of {path}; set {own}={context}")
    if length <= writes:
        raise UserError(
            f"{key}: {length:,} leaves no room for a prompt beside an answer of {writes:,} tokens; raise {own}"
        )
    if reads and length < min(reads + writes, context):
        said = f"{key}: {length:,} tokens, and {path} may read {reads:,} and write {writes:,}"
        if role == "policy":
            return [f"{said}: answers to the longest prompts will be cut short"]
        raise UserError(f"{said}; set {own}={min(reads + writes, context)}")
    return []


def _heads(config: Config, role: str, path: str, model: Any, parts: int) -> None:
    heads = getattr(model, "num_attention_heads", parts)
    shared = getattr(model, "num_key_value_heads", None) or heads
    whole = heads % parts == 0 and (shared % parts == 0 or parts % shared == 0)
    if not whole:
        able = [n for n in range(1, heads + 1) if heads % n == 0 and (shared % n == 0 or n % shared == 0)]
        raise UserError(
            f"{_key(config, role, 'tensor_parallel')}: {parts} GPUs cannot share the {heads} heads ({shared} of keys and values) "
            f"of {path}; set engine.roles.{role}.tensor_parallel to one of {', '.join(map(str, able))}"
        )


def _quantized(config: Config, role: str, path: str, model: Any, wanted: str | None) -> None:
    if wanted is None:
        return
    stored = getattr(model, "quantization_config", None) or {}
    stored = stored if isinstance(stored, dict) else stored.to_dict()
    kind = str(stored.get("quant_method") or "")
    key = _key(config, role, "quantization")
    if kind and wanted not in REPACKED and _family(kind) != _family(wanted):
        raise UserError(f"{key}: {wanted}, and {path} is stored as {kind}; set engine.roles.{role}.quantization=null")
    if not kind and any(name in wanted for name in FROM_FILE):
        raise UserError(f"{key}: {wanted}, and {path} is not stored that way; name a checkpoint that is, or choose fp8")


def _family(kind: str) -> str:
    """What several of vLLM's names read: `gptq_marlin` a checkpoint of `gptq`."""
    return next((name for name in ("awq", "gptq", "modelopt", "mxfp4") if name in kind), kind)


def _key(config: Config, role: str, name: str) -> str:
    """The key that decides."""
    engine: EngineConfig = config.engine
    if role == "judge" and NAMED[name] in config.judge.engine_options:
        return f"judge.engine_options.{NAMED[name]}"
    if engine.roles is not None and getattr(getattr(engine.roles, role), name) is not None:
        return f"engine.roles.{role}.{name}"
    return f"engine.{name}" if getattr(engine, name) is not None else f"engine.options.{NAMED[name]}"
