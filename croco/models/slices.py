"""What an artifact depends on of a checkpoint and of an engine: one way to say it, so that no address forgets a key."""

from __future__ import annotations

from typing import Any

from croco.config import EngineConfig
from croco.language import text
from croco.models.checkpoints import Checkpoint, adapter_identity, identity

SPEED_ONLY = (
    "block_size",
    "disable_log_stats",
    "distributed_executor_backend",
    "enable_chunked_prefill",
    "enable_prefix_caching",
    "enable_sleep_mode",
    "enforce_eager",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_num_batched_tokens",
    "max_num_seqs",
    "pipeline_parallel_size",
    "swap_space",
    "tensor_parallel_size",
)
"""Arguments of vLLM's `LLM` that decide where and how fast, not what."""


def checkpoint_slice(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of a checkpoint that decides what it computes, as JSON values: contents, not places."""
    own: dict[str, Any] = {
        "model": identity(checkpoint.path, checkpoint.revision),
        **adapter_identity(checkpoint.adapter),
        "dtype": checkpoint.dtype,
        "chat_template": text.template_source(checkpoint.chat_template),
    }
    if checkpoint.attention != "sdpa":
        own["attention"] = checkpoint.attention
    if checkpoint.trust_remote_code:
        own["trust_remote_code"] = True
    return own


def tokenizer_slice(path: str, revision: str | None, chat_template: str | None) -> dict[str, Any]:
    """What decides a conversation's token ids."""
    return {"tokenizer": identity(path, revision), "chat_template": text.template_source(chat_template)}


def engine_slice(engine: EngineConfig) -> dict[str, Any]:
    """The engine's kind, and those of its options that change what it makes (quantisation, its context ...)."""
    options = {key: value for key, value in engine.options.items() if key not in SPEED_ONLY}
    return {"engine": engine.name, **({"engine_options": options} if options else {})}
