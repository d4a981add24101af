"""The groups that say where a run is computed, shared, kept and told of; none of them changes what an experiment is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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


NAMED = {
    "quantization": "quantization",
    "tensor_parallel": "tensor_parallel_size",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "gpu_memory_utilization": "gpu_memory_utilization",
}
"""Keys of `engine`, and of each of its roles -> vLLM's arguments."""
TAKEN = 0.92  # of a GPU's memory, that vLLM takes where nothing else is said
QUANTIZATIONS = (
    *("auto_awq", "auto_gptq", "awq", "awq_marlin", "compressed-tensors", "deepseek_v4_fp8", "experts_int8", "fp8"),
    *("fp8_per_block", "fp8_per_channel", "fp8_per_tensor", "gpt_oss_mxfp4", "gptq", "gptq_marlin", "humming", "inc"),
    *(
        "int8_per_channel_weight_only",
        "modelopt",
        "modelopt_fp4",
        "modelopt_mixed",
        "modelopt_mxfp8",
        "moe_wna16",
        "mxfp4",
    ),
    *("mxfp8", "nvfp4_per_token", "online", "quark", "torchao"),
)
"""Of vLLM 0.32, less what it calls deprecated; tests/engines/test_vllm.py asks it."""


@dataclass
class RoleConfig:
    """What one model's engine has of its own; null is the engine's."""

    quantization: str | None
    """See `engine.quantization`."""
    tensor_parallel: int | None
    """See `engine.tensor_parallel`."""
    max_model_len: int | None
    """See `engine.max_model_len`."""
    max_num_seqs: int | None
    """See `engine.max_num_seqs`."""
    gpu_memory_utilization: float | None
    """See `engine.gpu_memory_utilization`."""


@dataclass
class RolesConfig:
    """Whose engine it is."""

    policy: RoleConfig
    """And any other model whose answers are wanted: an off-policy source, an arena's sides."""
    reward: RoleConfig
    translator: RoleConfig
    judge: RoleConfig


@dataclass
class EngineConfig:
    """What generates and scores."""

    name: str
    """`hf`, `vllm` or `fake`."""
    isolate: bool
    """In a process of its own, which gives back all memory when its phase ends, and whose crash loses nothing."""
    devices: int | str
    """GPUs of this machine that answers, rewards and verdicts are made on, by an engine for each of them (or for each
    `tensor_parallel` of them), in processes of their own where there are several; `auto` is all that are visible. On a CPU `auto`
    is one engine in all, a number so many."""
    prompts_per_unit: int
    """Prompts that are in the engine at a time (vllm), or that go to an actor together (ray)."""
    batch_size: int | None
    """Answers that are written together (hf), halved where the memory has no room; null is 128 on a CPU, 1,024 on a GPU."""
    score_tokens: int
    """Tokens, padding included, in a scoring batch."""
    quantization: str | None
    """How vLLM holds weights, e.g. `fp8`; null is as the checkpoint has them."""
    tensor_parallel: int | None
    """GPUs that hold one model together; null is 1."""
    max_model_len: int | None
    """Tokens of a prompt and its answer, for which vLLM keeps room; null is what the role reads and writes at most where that is
    known (reward, translator, judge), and the checkpoint's context for the policy."""
    max_num_seqs: int | None
    """Answers written at once; null is vLLM's, which differs by card."""
    gpu_memory_utilization: float | None
    """Share of a GPU's memory that vLLM takes; null is vLLM's 0.92."""
    roles: RolesConfig | None
    """The five keys above for one model alone; null, as a whole or of a key, is what the engine has."""
    options: dict[str, Any]
    """Further keyword arguments for the engine itself (vLLM's `LLM`)."""
    environment: dict[str, str]
    """Environment variables of the engine's own process."""
    ray: RayConfig | None
    """One such engine on every device of a Ray cluster; null is one here. What is made is the same, and so is its address."""

    def of(self, role: str) -> EngineConfig:
        """The engine as one of the roles has it: all that goes to vLLM in `options`, and a Ray engine's GPUs for its parts."""
        own = asdict(getattr(self.roles, role)) if self.roles is not None else {}
        named = {vllm: getattr(self, key) if own.get(key) is None else own[key] for key, vllm in NAMED.items()}
        options = {**self.options, **{name: value for name, value in named.items() if value is not None}}
        ray, parts = self.ray, options.get("tensor_parallel_size", 1)
        if ray is not None and parts > 1 and 0 < ray.gpus < parts:
            ray = replace(ray, gpus=parts)
        unnamed: dict[str, Any] = dict.fromkeys(NAMED)
        return replace(self, options=options, ray=ray, roles=None, **unnamed)

    def reading(self, tokens: int) -> EngineConfig:
        """This engine of a role, with room for so many tokens of prompt and answer where nothing else is said."""
        if self.name != "vllm" or "max_model_len" in self.options:
            return self
        return replace(self, options={**self.options, "max_model_len": tokens})

    @property
    def share(self) -> float:
        """Of a GPU's memory, that vLLM takes; of an engine of a role."""
        return float(self.given.get("gpu_memory_utilization") or TAKEN)

    @property
    def given(self) -> dict[str, Any]:
        """What goes to vLLM; of an engine of a role (see `of`), so that no role is forgotten."""
        assert self.roles is None, "EngineConfig.of has not been asked"
        return self.options


@dataclass
class TrainerConfig:
    """Hardware for training."""

    accelerator: str
    devices: int | str
    """GPUs of a machine that training takes, a process on each. `auto` is all that are visible, on a CPU one process; and one
    where training goes on in rounds, since several would start anew, and load the model, in each."""
    num_nodes: int
    strategy: str
    """Of several processes: `ddp` (each has the whole model), `fsdp` (weights spread over them), or `auto`, which is `ddp`."""
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

    @property
    def processes(self) -> int:
        """Of a training whose devices are counted (croco/models/devices.py: `placed`)."""
        assert isinstance(self.devices, int), "devices.placed has not been asked"
        return self.devices * self.num_nodes


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
    reward: str | None
    """Repository of a reward model that the run trains; null as above, with `-reward`."""
    private: bool


@dataclass
class PathsConfig:
    """Folders, relative to where the command is run."""

    artifacts: str
