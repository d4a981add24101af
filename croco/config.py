"""The typed configuration: one dataclass per Hydra group, a docstring per field, and the checks a YAML cannot express.

Hydra composes `conf/`; `strict` merges the result into these classes, so that an unknown key (a typo, also behind `+`), a
wrong type or a missing choice fails before anything heavy is loaded. No default is written here: each lives in one YAML.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from croco import tiny
from croco.errors import UserError

CONF = Path(__file__).parent.parent / "conf"

OmegaConf.register_new_resolver("repository", lambda: str(CONF.parent), replace=True)
OmegaConf.register_new_resolver("tiny_model", lambda name: str(tiny.MODELS / name), replace=True)
OmegaConf.register_new_resolver("cores", lambda: len(os.sched_getaffinity(0)), replace=True)


@dataclass
class LoraConfig:
    """Low-rank adapters (peft's names)."""

    r: int
    alpha: int
    dropout: float
    """Used by SFT only: see croco/training/policy.py, departure 1."""
    targets: list[str]
    """Names of the linear modules that get an adapter."""


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
    max_length: int
    """Longest prompt plus answer in tokens that training sees; a longer answer is cut, and counted."""
    learning_rate: LearningRateConfig
    lora: LoraConfig


@dataclass
class RewardConfig:
    """What scores an answer."""

    kind: str
    """`sequence_classification` (a checkpoint with one label) or `function` (Python)."""
    path: str | None
    revision: str | None
    dtype: str
    max_length: int
    """Longest conversation in tokens that is scored; a longer one gets no score, and is counted."""
    function: str | None
    """`module:name` of f(messages, answer, language, meta) -> float or None."""
    trust_remote_code: bool


@dataclass
class LangConfig:
    """The set of languages of a run."""

    languages: list[str]
    """Names of files in conf/language/."""


@dataclass
class PromptsConfig:
    """Where prompts come from and which are kept."""

    source: str
    """`tiny`, `jsonl`, `parquet`, or `hub`."""
    path: str | None
    """A file with a language column, a folder with one file per language (`da.jsonl`), or a hub data set."""
    name: str | None
    """Configuration name of a hub data set."""
    hub_split: str
    revision: str | None
    language: str | None
    """Language of all rows when the data names none."""
    train: int
    """Number of parallel prompts to train on."""
    heldout: int
    """Number of parallel prompts to evaluate on, disjoint from the others by hash of prompt_id."""
    max_tokens: int | None
    """Longest prompt in tokens of the policy; longer ones are dropped, and counted. null: what leaves room for an answer."""
    seed: int


@dataclass
class SourceConfig:
    """Whose answers are paired."""

    kind: str
    """`on_policy` (the policy's own) or `off_policy` (`source.model`'s)."""
    model: str | None
    """Checkpoint that answers when off-policy."""
    revision: str | None
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
class FiltersConfig:
    """Answers that leave their pool before pairing, each counted by reason."""

    truncated: bool
    """Cut off at the length limit (`finish_reason` is not `stop`)."""
    empty: bool
    """No text but white space."""
    duplicate: bool
    """Same text as an earlier answer of the same prompt and language."""
    wrong_language: bool
    """Identified as another language than the prompt's; what is too short to tell is kept, and counted."""
    repetition: float | None
    """Largest share of a text's word (or character) n-grams that may be repeats; null lets all through."""


@dataclass
class PairLimitsConfig:
    """Largest (or smallest) figures of the pair report that a run accepts; null accepts all. Shares lie in [0, 1]."""

    min_pairs: int | None
    max_prompts_without_pair: float | None
    """Share of the pools that gave no pair."""
    max_rejected_is_minimum: float | None
    max_chosen_longer: float | None
    max_truncated: float | None
    """Share of chosen answers that were cut off."""
    max_wrong_language: float | None
    """Share of chosen answers in another language than the prompt, among those that could be told."""
    max_identical: float | None
    """Share of pairs whose two texts are the same."""
    max_one_language_wins: float | None
    """Largest share of the chosen answers of pairs across languages that one language has."""


@dataclass
class PairingConfig:
    """Which answers become chosen and rejected."""

    scope: str
    """`mono` pools the answers in one language, `multi` those in all languages of the set; `cross_only` and `same_only` pool
    as `multi` does, and take the rejected answer from another language than the chosen's, or from the same."""
    points: str
    """What `chosen` and `rejected` are: `sigma` (k of mu + k sigma) or `quantile` (a level in [0, 1])."""
    chosen: float
    """Chosen is nearest to mu + this many sigma; .inf is the best."""
    rejected: float
    """Rejected is nearest to mu + this many sigma, strictly below the chosen; -.inf is the worst."""
    samples: int | None
    """Only the first so many samples per prompt and language are pooled (best and worst of n); null pools all."""
    normalise: str
    """What selection compares: `none` (rewards), `language` (z-scores within a language), `prompt_language` (z-scores within
    a prompt and language) or `rank` (ranks within a language)."""
    prompt_language: str
    """Language of the prompt that is shown: `chosen`, `rejected`, `random` (seeded), or a language of the set."""
    min_margin: float | None
    """Smallest difference between chosen and rejected, in what selection compares."""
    max_margin: float | None
    length_ratio: float | None
    """The longer answer has at most so many times the tokens of the shorter; null pairs any lengths."""
    pairs_per_pool: int
    pairs_per_prompt: int | None
    """At most so many pairs of one prompt, over all languages, drawn by seed; null keeps all."""
    seed: int
    """Of `prompt_language: random`, `pairs_per_prompt` and the shares of a mixture."""
    filters: FiltersConfig
    limits: PairLimitsConfig


@dataclass
class MethodConfig:
    """What is optimised."""

    name: str
    loss: dict[str, Any]
    """`_target_` of a function of croco.maths.losses and its hyper-parameters."""
    trains_on: str
    """`pairs`, `chosen` (the best answer of each pair) or `reference` (the data set's own answers)."""
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


@dataclass
class EngineConfig:
    """What generates and scores."""

    name: str
    """`hf`, `vllm` or `fake`."""
    prompts_per_unit: int
    """Prompts whose samples are computed, and written, together: the unit of work and of resuming."""
    score_tokens: int
    """Tokens, padding included, in a scoring batch."""
    options: dict[str, Any]
    """Keyword arguments for the engine itself (vLLM's `LLM`)."""


@dataclass
class QualityConfig:
    """Evaluation by a grading function on held-out prompts."""

    grader: str
    """`module:name` of f(meta, language, answer) -> a dataclass (or object) with a float attribute `quality` in [0, 1]; its
    other numbers are kept, and its `language`, where it has one, is the table's fidelity."""
    samples: int
    """Answers per held-out prompt and language, drawn as in `sampling`."""
    resamples: int
    """Bootstrap resamples of prompts."""
    confidence: float


@dataclass
class EvalsConfig:
    """What is measured; null is not measured."""

    quality: QualityConfig | None = None


@dataclass
class TrainerConfig:
    """Hardware for training."""

    accelerator: str
    devices: int
    num_nodes: int
    strategy: str
    tokens_per_pack: int
    """Tokens in one forward pass; what an optimiser step needs beyond it is accumulated."""
    packing: bool
    """Rows without padding, each prompt encoded once for its answers; the same numbers as the padded path in less work."""
    gradient_checkpointing: bool
    checkpoint_every: int
    """Optimiser steps between resumable checkpoints."""
    threads: int | None
    """CPU threads per process; null leaves torch's choice."""


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
class PathsConfig:
    """Folders, relative to where the command is run."""

    artifacts: str


@dataclass
class Config:
    """The whole run."""

    model: ModelConfig
    reward: RewardConfig
    lang: LangConfig
    prompts: PromptsConfig
    source: SourceConfig
    sampling: SamplingConfig
    pairing: PairingConfig
    method: MethodConfig
    engine: EngineConfig
    evals: EvalsConfig
    trainer: TrainerConfig
    logger: LoggerConfig
    paths: PathsConfig
    seed: int
    """Of training: adapter initialisation and data order."""


def strict(composed: DictConfig) -> Config:
    """The composed configuration as typed objects.

    Raises:
        UserError: unknown key, wrong type, missing value, or values that do not go together; the message names the key.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), composed)
        OmegaConf.resolve(merged)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "configuration"
        reason = str(error).splitlines()[0]
        raise UserError(f"{key}: {reason}") from None
    assert isinstance(config, Config)
    check(config)
    return config


def require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    require(value in choices, f"{key}: '{value}' is not one of {', '.join(choices)}")


def check(config: Config) -> None:
    """Cross-field checks; raises UserError with the key to change."""
    one_of("model.dtype", config.model.dtype, ("float32", "bfloat16"))
    one_of("reward.dtype", config.reward.dtype, ("float32", "bfloat16"))
    one_of("reward.kind", config.reward.kind, ("sequence_classification", "function"))
    one_of("source.kind", config.source.kind, ("on_policy", "off_policy"))
    one_of("method.schedule", config.method.schedule, ("cosine", "linear", "constant"))
    one_of("method.trains_on", config.method.trains_on, ("pairs", "chosen", "reference"))
    one_of("engine.name", config.engine.name, ("hf", "vllm", "fake"))
    one_of("prompts.source", config.prompts.source, ("tiny", "jsonl", "parquet", "hub"))
    require(len(config.lang.languages) > 0, "lang.languages: choose at least one language")
    require(len(set(config.lang.languages)) == len(config.lang.languages), "lang.languages: a language is listed twice")
    known = sorted(path.stem for path in (CONF / "language").glob("*.yaml"))
    for language in config.lang.languages:
        require(
            language in known,
            f"lang.languages: unknown language '{language}'; known are {', '.join(known)} "
            f"(add conf/language/{language}.yaml for a new one)",
        )
    require(config.sampling.samples >= 1, "sampling.samples: must be at least 1")
    require(config.sampling.temperature > 0, "sampling.temperature: must be positive (candidates must differ)")
    require(0 < config.sampling.top_p <= 1, "sampling.top_p: must lie in (0, 1]")
    require(
        config.trainer.devices * config.trainer.num_nodes == 1,
        "trainer.devices: training runs in one process; several would each take the whole batch",
    )
    require(config.sampling.max_new_tokens >= 1, "sampling.max_new_tokens: must be at least 1")
    require(config.prompts.train >= 1, "prompts.train: must be at least 1")
    require(config.method.batch_size >= 1, "method.batch_size: must be at least 1")
    require(
        config.source.kind == "on_policy" or config.source.model is not None,
        "source.model: off-policy data needs the checkpoint that answers",
    )
    require(
        config.reward.kind != "function" or config.reward.function is not None,
        "reward.function: name it as module:function",
    )
    require(
        config.reward.kind != "sequence_classification" or config.reward.path is not None,
        "reward.path: name the reward model's checkpoint",
    )
    bind_target("method.loss", config.method.loss)
    check_shares(config.source)
    check_quality(config.evals.quality, config.prompts)
    check_pairing(config.pairing, config.lang.languages, config.sampling.samples)


def check_quality(quality: QualityConfig | None, prompts: PromptsConfig) -> None:
    """Checks of one evaluation, before anything that leads to it is made; raises UserError with the key to change."""
    if quality is None:
        return
    require(
        prompts.source == "tiny" or not quality.grader.startswith("croco.tiny."),
        f"evals.quality.grader: {quality.grader} grades prompts=tiny only; name your own as module:name, or evals=none",
    )
    require(quality.samples >= 1, "evals.quality.samples: must be at least 1")
    require(quality.resamples >= 1, "evals.quality.resamples: must be at least 1")
    require(0 < quality.confidence < 1, "evals.quality.confidence: must lie in (0, 1), e.g. 0.95")


def check_shares(source: SourceConfig) -> None:
    """Checks of a mixture; raises UserError with the key to change."""
    if source.shares is None:
        return
    require(source.kind == "on_policy", "source.shares: a mixture needs source.kind=on_policy")
    for name, share in source.shares.items():
        one_of("source.shares", name, ("on_policy", "off_policy", "reference"))
        require(share > 0, f"source.shares.{name}: {share} must be positive (leave out a source that gives nothing)")
    total = sum(source.shares.values())
    require(abs(total - 1) < 1e-6, f"source.shares: they sum to {total:g}, not to 1")
    require(
        "off_policy" not in source.shares or source.model is not None,
        "source.model: a mixture with off_policy needs the checkpoint that answers",
    )


def check_pairing(pairing: PairingConfig, languages: list[str], samples: int) -> None:
    """Checks of one group; raises UserError with the key to change."""
    one_of("pairing.scope", pairing.scope, ("mono", "multi", "cross_only", "same_only"))
    one_of("pairing.points", pairing.points, ("sigma", "quantile"))
    one_of("pairing.normalise", pairing.normalise, ("none", "language", "prompt_language", "rank"))
    one_of("pairing.prompt_language", pairing.prompt_language, ("chosen", "rejected", "random", *languages))
    require(
        pairing.chosen > pairing.rejected,
        f"pairing.rejected: {pairing.rejected} must lie below pairing.chosen={pairing.chosen}",
    )
    require(
        pairing.points == "sigma" or (pairing.rejected >= 0 and pairing.chosen <= 1),
        "pairing.points=quantile: pairing.chosen and pairing.rejected are levels in [0, 1]",
    )
    require(
        pairing.scope != "cross_only" or len(languages) > 1,
        "pairing.scope=cross_only: pairs across languages need at least two in lang.languages",
    )
    require(
        pairing.samples is None or 2 <= pairing.samples <= samples,
        f"pairing.samples: {pairing.samples} must lie between 2 and sampling.samples={samples}",
    )
    for key, value, least in (
        ("min_margin", pairing.min_margin, 0.0),
        ("max_margin", pairing.max_margin, pairing.min_margin if pairing.min_margin is not None else 0.0),
        ("length_ratio", pairing.length_ratio, 1.0),
        ("pairs_per_pool", pairing.pairs_per_pool, 1),
        ("pairs_per_prompt", pairing.pairs_per_prompt, 1),
        ("filters.repetition", pairing.filters.repetition, 0.0),
    ):
        require(value is None or value >= least, f"pairing.{key}: {value} must be at least {least}")
    for name, limit in vars(pairing.limits).items():
        require(
            limit is None or (limit >= 0 and (name == "min_pairs" or limit <= 1)),
            f"pairing.limits.{name}: {limit} is not a {'count' if name == 'min_pairs' else 'share in [0, 1]'}",
        )


def bind_target(key: str, node: dict[str, Any]) -> Callable[..., Any]:
    """The function `_target_` names, after checking that its keyword-only arguments are exactly the other keys.

    Raises:
        UserError: no such function, an argument it does not take, or one it needs and does not get.
    """
    target = node.get("_target_")
    require(isinstance(target, str), f"{key}._target_: name the function")
    function = locate(f"{key}._target_", str(target))
    parameters = inspect.signature(function).parameters.values()
    settings = {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    given = set(node) - {"_target_"}
    unknown = sorted(given - set(settings))
    require(not unknown, f"{key}.{unknown[0] if unknown else ''}: {target} takes {sorted(settings) or 'no settings'}")
    missing = sorted(n for n, p in settings.items() if p.default is inspect.Parameter.empty and n not in given)
    require(not missing, f"{key}.{missing[0] if missing else ''}: {target} needs it")
    return function


def locate(key: str, dotted: str) -> Callable[..., Any]:
    """The callable behind `package.module.name` or `module:name`.

    Raises:
        UserError: the module cannot be imported or has no such name.
    """
    module_name, _, name = dotted.rpartition(":" if ":" in dotted else ".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}: cannot find '{dotted}' ({error})") from None
    require(callable(found), f"{key}: '{dotted}' is not callable")
    return found
