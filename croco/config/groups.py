"""One dataclass per Hydra group, a docstring per field. No default is written here: each lives in one YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from croco.config.arena import JudgeConfig
from croco.config.data import DataConfig
from croco.config.evaluations import EvalsConfig
from croco.config.lora import LoraConfig
from croco.config.pairing import PairingConfig
from croco.config.rewards import RewardConfig
from croco.config.running import EngineConfig, LoggerConfig, PathsConfig, PushConfig, TrainerConfig, WorkersConfig
from croco.config.translation import TranslationConfig


@dataclass
class LearningRateConfig:
    """Peak learning rates of this model, by kind of objective."""

    preference: float
    sft: float


@dataclass
class ModelConfig:
    """The policy."""

    path: str
    """A local checkpoint folder or a hub id."""
    revision: str | None
    """Commit, tag or branch on the hub; ignored for a folder."""
    dtype: str
    """Of the frozen weights: float32 or bfloat16. Adapters are always float32."""
    chat_template: str | None
    """A Jinja file for a checkpoint that has no chat template; null uses its own."""
    trust_remote_code: bool
    attention: str
    """transformers' attn_implementation: sdpa, eager, flash_attention_2."""
    adapter: str | None
    """PEFT folder the policy starts from; null starts from the checkpoint itself."""
    max_length: int
    """Longest prompt plus answer in tokens that training sees; a longer answer is cut, and counted."""
    learning_rate: LearningRateConfig
    lora: LoraConfig
    size: str | None = None
    """Which of `sizes` is `path`, for a family of checkpoints."""
    sizes: dict[str, str] = field(default_factory=dict)
    template_options: dict[str, Any] | None = None
    """What the chat template takes besides messages, e.g. `enable_thinking: false`."""


@dataclass
class PresetConfig:
    """What belongs to a model beside its own settings; choices that need one more model take it from here."""

    reward: RewardConfig | None = None
    """Scores the parts of combinations, and the English run of an implicit reward."""
    other_policy: str | None = None
    """Answers off-policy."""


@dataclass
class LangConfig:
    """The set of languages of a run."""

    languages: list[str]
    """Names of files in conf/language/; those of all `sets` where a set does not say them outright."""
    sets: dict[str, list[str]] = field(default_factory=dict)
    """Every set that was chosen, by name; what a run reads is `languages`."""


@dataclass
class PromptsConfig:
    """Where prompts come from and which are kept."""

    source: str
    """`tiny`, `checks` (our own, with instructions a rule can check), `jsonl`, `parquet`, or `hub`."""
    path: str | None
    """A file with a language column, a folder with one file per language (`da.jsonl`), or a hub data set."""
    name: str | None
    """Configuration name of a hub data set; `every_task`: of the embedded world also its structured tasks, held out."""
    hub_split: str
    revision: str | None
    language: str | None
    """Language of all rows when the data names none."""
    turns: str
    """`all` (a conversation up to its last user turn) or `first` (the first user turn alone, without system message)."""
    deduplicate: bool
    """Leave out a prompt whose text another one of its language has; the same id twice is one prompt in any case."""
    check_language: bool
    """Leave out a prompt that is identified as another language; what is too short to tell stays."""
    train: int
    """Number of parallel prompts to train on."""
    heldout: int
    """Number of parallel prompts to evaluate on, disjoint from the others by hash of prompt_id."""
    max_tokens: int | None
    """Longest prompt in tokens of the policy; longer ones are dropped, and counted; null drops none."""
    seed: int
    system: str
    """What becomes of system messages: `keep`, `merge` (each goes before the next user message) or `drop`."""


@dataclass
class SourceConfig:
    """Whose answers are paired."""

    kind: str
    """`on_policy` (the policy's own) or `off_policy` (`source.model`'s)."""
    model: str | None
    """Checkpoint that answers when off-policy."""
    revision: str | None
    adapter: str | None
    """PEFT folder on top of it: an earlier checkpoint of a run."""
    shares: dict[str, float] | None
    """A mixture: share of the prompts whose pairs come from each of `on_policy`, `off_policy` (`source.model`'s answers)
    and `reference` (the data set's own answer is chosen, against the policy's); they sum to 1. null: all from `kind`."""


@dataclass
class SamplingConfig:
    """How candidate answers are drawn."""

    samples: int
    """K, answers per prompt and language."""
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


@dataclass
class MethodConfig:
    """What is optimised."""

    name: str
    loss: dict[str, Any]
    """`_target_` of a function of croco.maths.losses and its hyper-parameters."""
    trains_on: str
    """`pairs`, `chosen` (the best answer of each pair), `reference` (the data set's own answers) or `nothing`."""
    tokens: str
    """What an answer is trained on as: `generated` (the ids that were sampled, with an end only where the model ended; of another
    tokenizer's answers the text) or `text` (its text encoded anew and closed)."""
    learning_rate: float
    batch_size: int
    """Examples (pairs, or answers) per optimiser step, over all devices."""
    epochs: float
    warmup_ratio: float
    """Share of the steps in which the learning rate rises to its peak."""
    schedule: str
    """`cosine`, `linear` or `constant`, after the warm-up."""
    weight_decay: float
    max_grad_norm: float
    refresh_every: int | None
    """Optimiser steps between rounds, in each of which the policy so far answers the prompts of the coming steps: 1 is online,
    N iterative; null is one round over all prompts, offline."""
    reference: str
    """`initial` (the policy before training) or `previous` (the policy at the end of the round before)."""
    round_data: str
    """`new` (each round trains on its own pairs) or `accumulated` (on those of the rounds before, too)."""
    validation: float
    """Share of the prompts, by hash of prompt_id, whose examples are not trained on but watched; 0 trains on all."""
    seed: int | None
    """Of the order of the data, of what `validation` draws, and of dropout; null is the run's `seed`."""


@dataclass
class Config:
    """The whole run."""

    model: ModelConfig
    reward: RewardConfig
    lang: LangConfig
    prompts: PromptsConfig
    translation: TranslationConfig
    data: DataConfig
    source: SourceConfig
    sampling: SamplingConfig
    pairing: PairingConfig
    method: MethodConfig
    engine: EngineConfig
    judge: JudgeConfig
    evals: EvalsConfig
    trainer: TrainerConfig
    workers: WorkersConfig
    logger: LoggerConfig
    push: PushConfig
    paths: PathsConfig
    seed: int
    """Of training: what `method.seed` (the order of the data) and `model.lora.seed` (the adapter) are where they are null;
    answers are drawn from `sampling.seed`."""
    date: str | None
    """What chat templates are told that ask for the date, e.g. 2026-11-27; null is that of the artifacts folder's first run."""
    preset: PresetConfig = field(default_factory=PresetConfig)
