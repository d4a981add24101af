"""What an artifact depends on of a checkpoint and of an engine: one way to say it, so that no address forgets a key."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.config import EngineConfig, LoraConfig
from croco.language import clock, text
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
FURTHER = ("rslora", "dora", "modules_to_save")
"""Of an adapter: what goes unsaid where it is as PEFT has it."""
TEMPLATES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
"""Where a checkpoint keeps its chat template."""


def checkpoint_slice(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of a checkpoint that decides what it computes, as JSON values: contents, not places."""
    own: dict[str, Any] = {
        "model": identity(checkpoint.path, checkpoint.revision),
        **adapter_identity(checkpoint.adapter),
        "dtype": checkpoint.dtype,
        **template_slice(checkpoint),
    }
    if checkpoint.attention != "sdpa":
        own["attention"] = checkpoint.attention
    if checkpoint.trust_remote_code:
        own["trust_remote_code"] = True
    return own


def tokenizer_slice(checkpoint: Checkpoint) -> dict[str, Any]:
    """What decides a conversation's token ids."""
    return {"tokenizer": identity(checkpoint.path, checkpoint.revision), **template_slice(checkpoint)}


def template_slice(checkpoint: Checkpoint) -> dict[str, Any]:
    """What decides a conversation's text: the template, its options, and the date where it asks for one."""
    own: dict[str, Any] = {"chat_template": text.template_source(checkpoint.chat_template)}
    if checkpoint.template_options != "{}":
        own["template_options"] = json.loads(checkpoint.template_options)
    if asks_for_the_date(checkpoint):
        own["date"] = clock.date()
    return own


def asks_for_the_date(checkpoint: Checkpoint) -> bool:
    """Whether the chat template calls `strftime_now`; read from its files, without loading a tokenizer."""
    given = text.template_source(checkpoint.chat_template)
    if given is not None:
        return clock.ASKS in given
    return _asks(checkpoint.path, checkpoint.revision)


@functools.cache
def _asks(path: str, revision: str | None) -> bool:
    from transformers.utils import cached_file

    for name in TEMPLATES:
        try:
            file = cached_file(path, name, revision=revision, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError):  # no such place, or no hub: the loaders say so
            return False
        if file is not None and clock.ASKS in Path(file).read_text(encoding="utf-8", errors="replace"):
            return True
    return False


def lora_slice(lora: LoraConfig) -> dict[str, Any]:
    """What kind of adapter is trained; what PEFT does by default goes unsaid."""
    said = {key: value for key, value in records.as_dict(lora).items() if key not in FURTHER or value}
    return {key: value for key, value in said.items() if key != "seed" or value is not None}


def engine_slice(engine: EngineConfig) -> dict[str, Any]:
    """A role's engine: its kind, and those of its options that change what it makes (quantisation, its context ...)."""
    options = {key: value for key, value in engine.given.items() if key not in SPEED_ONLY}
    return {"engine": engine.name, **({"engine_options": options} if options else {})}
