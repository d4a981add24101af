"""The groups that say where a run is computed, shared, kept and told of; none of them changes what an experiment is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class RayConfig:
    """Where the engine runs on a Ray cluster."""

    address: str | None
    """`auto` (the cluster this machine belongs to), HOST:PORT of its head, or null: one that is started here, for this run."""
    actors: int | None
    """Engines; null is as many as the cluster has room for."""
    gpus: float
    """Of each engine."""
    cpus: float


@dataclass
class EngineConfig:
    """What generates and scores."""

    name: str
    """`hf`, `vllm` or `fake`."""
    isolate: bool
    """In a process of its own, which gives back all memory when its phase ends, and whose crash loses nothing."""
    prompts_per_unit: int
    """Prompts that are in the engine at a time (vllm), or that go to an actor together (ray)."""
    batch_size: int | None
    """Answers that are written together (hf), halved where the memory has no room; null is 128 on a CPU, 1,024 on a GPU."""
    score_tokens: int
    """Tokens, padding included, in a scoring batch."""
    options: dict[str, Any]
    """Keyword arguments for the engine itself (vLLM's `LLM`)."""
    environment: dict[str, str]
    """Environment variables of the engine's own process."""
    ray: RayConfig | None
    """One such engine on every device of a Ray cluster; null is one here. What is made is the same, and so is its address."""


@dataclass
class TrainerConfig:
    """Hardware for training."""

    accelerator: str
    devices: int
    num_nodes: int
    strategy: str
    """`auto` (one process), `ddp`, or `fsdp` (weights spread over the processes)."""
    tokens_per_pack: int
    """Tokens in one forward pass; what an optimiser step needs beyond it is accumulated."""
    packing: bool
    """Rows without padding; the same numbers as the padded path in less work, as with the six keys below."""
    share_prompts: bool
    """In packed rows, each prompt encoded once for all its answers."""
    chunked_head: bool
    """In packed rows, log-probs without ever holding logits of (tokens, vocabulary)."""
    cache_reference: bool
    """The reference's log-probs computed once per answer, kept, and found by other runs; else in every step, and not kept."""
    fused_lora: bool
    """LoRA layers as one function; the same numbers in fewer passes over memory."""
    fused_norms: bool
    """Normalisation layers as one function, likewise."""
    compile: bool | None
    """In packed rows, decoder layers compiled by torch; null on a GPU, where the run is long enough that it pays."""
    gradient_checkpointing: bool | None
    """Activations computed again in the backward pass; null when a pack that was tried does not fit without."""
    checkpoint_every: int
    """Optimiser steps between resumable checkpoints."""
    watch_every: int | None
    """Optimiser steps between looks at validation pairs and held-out answers; null looks only at the start and the end."""
    watch_prompts: int
    """Held-out prompts per language that are answered at each look."""
    watch_tokens: int | None
    """Tokens of such an answer at most, where `sampling.max_new_tokens` is not less."""
    stop_collapsed: bool
    """End a run whose policy has collapsed, with a line that says so."""
    threads: int | None
    """CPU threads per process; null leaves torch's choice."""


@dataclass
class WorkersConfig:
    """Several processes that share the work of one run; nothing here changes what is made."""

    share: bool
    """Answers and rewards are made by all processes that want them, unit by unit; otherwise by one, and others wait."""
    number: int
    """Which of them this is. All but 0 leave rather than wait for what only one can make, and log nothing."""
    prompts_per_unit: int
    """Prompts whose answers are taken, and lost, together."""
    answers_per_unit: int
    """Answers that are scored together."""
    lease: float
    """Seconds after which a process on another machine that shows no sign of life is lost, and its units are taken up."""


@dataclass
class LoggerConfig:
    """Where runs are mirrored; the artifacts on disk are the record."""

    wandb: bool
    project: str
    entity: str | None
    mode: str | None
    """W&B's: online, offline, disabled; null is online with a key and offline without."""
    group: str | None
    tags: list[str]


@dataclass
class PushConfig:
    """What is sent to the Hugging Face hub after the report; folders and cards are made in any case."""

    hub: bool
    model: str | None
    """Repository of the adapter; null is a name made of the run's, under the token's owner."""
    dataset: str | None
    """Repository of the pairs; null as above."""
    private: bool


@dataclass
class PathsConfig:
    """Folders, relative to where the command is run."""

    artifacts: str
