"""What a YAML cannot express: choices, ranges, and settings that do not go together. Each message names the key to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from croco.config import languages, references
from croco.config.arena import check_arena, check_judge
from croco.config.data import check_data
from croco.config.groups import Config, PromptsConfig, SamplingConfig
from croco.config.pairing import PairingConfig
from croco.config.running import NAMED, QUANTIZATIONS, EngineConfig, RoleConfig, RolesConfig, WorkersConfig
from croco.config.scorers import measures
from croco.config.targets import bind_target, one_of, require
from croco.config.translation import check_translation
from croco.config.valid_evaluations import (
    check_checkpoints,
    check_checks,
    check_euroeval,
    check_gold,
    check_quality,
    check_reward_ranking,
)
from croco.config.valid_rewards import check_reward
from croco.config.valid_training import check_shares, check_training
from croco.config.worlds import check_worlds

PICKLED = ("auto", "pt", "npcache", "tensorizer")
"""Of vLLM's `load_format`, those that can read more than safetensors."""
EVERY_TASK = "every_task"  # prompts.name of the embedded world


def check(config: Config) -> None:
    """Cross-field checks; raises UserError with the key to change."""
    one_of("model.dtype", config.model.dtype, ("float32", "bfloat16"))
    check_lora(config)
    one_of("source.kind", config.source.kind, ("on_policy", "off_policy"))
    one_of("method.schedule", config.method.schedule, ("cosine", "linear", "constant"))
    one_of("method.trains_on", config.method.trains_on, ("pairs", "chosen", "reference", "nothing"))
    one_of("method.tokens", config.method.tokens, ("generated", "text"))
    check_engine(config.engine, config.model.trust_remote_code)
    check_devices("engine.devices", config.engine.devices)
    check_devices("trainer.devices", config.trainer.devices)
    check_workers(config.workers)
    check_languages(config.lang.languages)
    known = languages.known()
    check_sampling(config.sampling)
    check_prompts(config.prompts, known)
    check_data(config.data, known)
    check_brought(config)
    check_translation(config.translation, config.lang.languages, known, references.trained_on(config))
    require(config.method.batch_size >= 1, "method.batch_size: must be at least 1")
    require(
        config.source.kind == "on_policy" or config.source.model is not None,
        "source.model: off-policy data needs the checkpoint that answers",
    )
    check_reward(config.reward, config.lang.languages)
    require(
        config.reward.least_accuracy is None or (config.evals.reward_ranking or measures(config.reward)) is not None,
        "reward.least_accuracy: nothing measures the reward; add evals=reward_ranking",
    )
    bind_target("method.loss", config.method.loss)
    check_training(config)
    require(
        config.evals.distance is None or config.evals.distance.prompts >= 1,
        "evals.distance.prompts: must be at least 1",
    )
    check_shares(config.source)
    check_checkpoints(config)
    check_gold(config)
    check_quality(config.evals.quality, config.prompts.source if config.data.made else config.data.kind)
    check_checks(config.evals.checks, config.prompts.source, config.lang.languages)
    check_euroeval(config.evals.euroeval, config.lang.languages)

    check_reward_ranking(config.evals.reward_ranking, known)
    if config.evals.arena is not None:
        check_arena(config.evals.arena, config.lang.languages)
        on_tiny = config.data.made and config.prompts.source == "tiny" and config.evals.arena.source == "heldout"
        check_judge(config.judge, on_tiny)
        check_options("judge.engine_options", config.judge.engine_options, config.judge.trust_remote_code)
    check_pairing(config.pairing, config.lang.languages, config.sampling.samples)
    require(
        config.pairing.filters.disagreement is None or config.reward.members > 1,
        "pairing.filters.disagreement: one reward model does not disagree; reward=trained reward.members=3",
    )
    check_worlds(config)


def check_engine(engine: EngineConfig, trusted: bool) -> None:
    """Checks of one group; raises UserError with the key to change."""
    one_of("engine.name", engine.name, ("hf", "vllm", "fake"))
    require(
        engine.isolate or not engine.environment,
        "engine.environment: only an engine in a process of its own has one; set engine.isolate=true",
    )
    require(engine.prompts_per_unit >= 1, "engine.prompts_per_unit: must be at least 1")
    require(engine.batch_size is None or engine.batch_size >= 1, "engine.batch_size: must be at least 1, or null")
    check_options("engine.options", engine.options, trusted)
    check_named(engine, "engine", engine)
    for role in fields(RolesConfig) if engine.roles is not None else ():
        check_named(engine, f"engine.roles.{role.name}", getattr(engine.roles, role.name))
    ray = engine.ray
    require(ray is None or ray.actors is None or ray.actors >= 1, "engine.ray.actors: must be at least 1, or null")
    require(ray is None or ray.gpus + ray.cpus > 0, "engine.ray.cpus: an engine needs a CPU or a GPU")


def check_devices(key: str, devices: int | str) -> None:
    """A number of GPUs, or all that there are."""
    require(devices == "auto" or (isinstance(devices, int) and devices >= 1), f"{key}: must be at least 1, or auto")


def check_named(engine: EngineConfig, key: str, own: EngineConfig | RoleConfig) -> None:
    """The keys that vLLM's users know, of the engine or of one of its roles."""
    given = {name: value for name in NAMED if (value := getattr(own, name)) is not None}
    for name, value in given.items():
        require(engine.name == "vllm", f"{key}.{name}: is vLLM's, and engine={engine.name} has none; leave it null")
        twice = own is engine and NAMED[name] in engine.options
        require(not twice, f"engine.options.{NAMED[name]}: engine.{name} says it too; leave one of them out")
        if name == "gpu_memory_utilization":
            require(0 < value <= 1, f"{key}.{name}: must lie in (0, 1]")
        elif name == "quantization":
            known = f"known are {', '.join(QUANTIZATIONS)}; engine.options.quantization takes any word"
            require(value in QUANTIZATIONS, f"{key}.{name}: vLLM has no '{value}'; {known}")
        else:
            require(value >= 1, f"{key}.{name}: must be at least 1, or null")


def check_options(key: str, options: Mapping[str, Any], trusted: bool = False) -> None:
    """An engine's own options do not run what a checkpoint brings past `trust_remote_code`, which is in addresses."""
    require(
        not options.get("trust_remote_code"),
        f"{key}.trust_remote_code: an engine's options are for all models; set model.trust_remote_code=true, or the reward's",
    )
    require(
        trusted or options.get("load_format", "safetensors") not in PICKLED,
        f"{key}.load_format: {options.get('load_format')} may read pickled weights, which can run code; leave it out "
        "(safetensors), or set trust_remote_code=true where the checkpoint is named",
    )


def check_languages(chosen: Sequence[str]) -> None:
    """Checks of one group; raises UserError with the key to change."""
    require(len(chosen) > 0, "lang.languages: choose at least one language")
    require(len(set(chosen)) == len(chosen), "lang.languages: a language is listed twice")
    for language in chosen:
        require(
            language not in ("False", "True"),
            f"lang.languages: YAML reads an unquoted no as {language.lower()}; write 'no' in quotes",
        )
        languages.settings(language)


def check_sampling(sampling: SamplingConfig) -> None:
    """Checks of one group; raises UserError with the key to change."""
    require(sampling.samples >= 1, "sampling.samples: must be at least 1")
    require(sampling.temperature > 0, "sampling.temperature: must be positive (candidates must differ)")
    require(0 < sampling.top_p <= 1, "sampling.top_p: must lie in (0, 1]")
    require(sampling.max_new_tokens >= 1, "sampling.max_new_tokens: must be at least 1")


def check_lora(config: Config) -> None:
    """Checks of one group; raises UserError with the key to change."""
    lora = config.model.lora
    check_targets(lora.targets)
    require(
        not lora.modules_to_save,
        f"model.lora.modules_to_save: {lora.modules_to_save} would be trained whole, which neither engines nor references take; "
        "set it to null, and give a larger model.lora.r or targets=all-linear",
    )
    require(
        not lora.dora or config.engine.name != "vllm",
        "model.lora.dora: vLLM does not compute it; choose engine=hf, or model.lora.dora=false",
    )


def check_targets(targets: Any) -> None:
    """As PEFT's `target_modules` without its patterns; raises UserError with the key to change."""
    names = isinstance(targets, list) and bool(targets) and all(isinstance(name, str) for name in targets)
    require(
        names or targets == "all-linear",
        f"model.lora.targets: {targets} is neither a list of layers' names, e.g. [q_proj,v_proj], nor all-linear",
    )


def check_prompts(prompts: PromptsConfig, known: list[str]) -> None:
    """Checks of one group; raises UserError with the key to change."""
    one_of("prompts.source", prompts.source, ("tiny", "checks", "jsonl", "parquet", "hub"))
    one_of("prompts.turns", prompts.turns, ("all", "first"))
    one_of("prompts.system", prompts.system, ("keep", "merge", "drop"))
    require(prompts.train >= 1, "prompts.train: must be at least 1")
    require(prompts.heldout >= 0, "prompts.heldout: must be at least 0")
    require(prompts.max_tokens is None or prompts.max_tokens >= 1, "prompts.max_tokens: must be at least 1, or null")
    require(
        prompts.source in ("tiny", "checks") or prompts.path is not None,
        f"prompts.path: prompts={prompts.source} needs one",
    )
    require(
        prompts.source != "tiny" or prompts.name in (None, EVERY_TASK),
        f"prompts.name: of the embedded world there is {EVERY_TASK}, or null for its open tasks; not '{prompts.name}'",
    )
    require(
        prompts.language is None or prompts.language in known,
        f"prompts.language: unknown language '{prompts.language}'; known are {', '.join(known)}",
    )


def check_brought(config: Config) -> None:
    """Ready-made data leave nothing to sample; raises UserError with the key to change."""
    data, method = config.data, config.method
    if data.made:
        return
    require(
        method.trains_on in ("pairs", "chosen"),
        f"method.trains_on={method.trains_on}: data={data.kind} brings pairs; choose method=dpo, or another that trains on them",
    )
    require(method.refresh_every is None, f"method.refresh_every: data={data.kind} is not sampled anew; null")
    require(
        config.source.kind == "on_policy" and config.source.shares is None,
        f"source: data={data.kind} says whose answers there are; leave source=on_policy",
    )


def check_workers(workers: WorkersConfig) -> None:
    """Checks of one group; raises UserError with the key to change."""
    require(workers.number >= 0, "workers.number: must be at least 0")
    require(workers.share or workers.number == 0, "workers.number: one process is number 0; choose workers=shared")
    require(workers.prompts_per_unit >= 1, "workers.prompts_per_unit: must be at least 1")
    require(workers.answers_per_unit >= 1, "workers.answers_per_unit: must be at least 1")
    require(workers.lease > 0, "workers.lease: must be positive")


def check_pairing(pairing: PairingConfig, languages: list[str], samples: int) -> None:
    """Checks of one group; raises UserError with the key to change."""
    one_of("pairing.scope", pairing.scope, ("mono", "multi", "cross_only", "same_only"))
    one_of("pairing.points", pairing.points, ("sigma", "quantile", "every"))
    one_of("pairing.normalise", pairing.normalise, ("none", "language", "prompt_language", "rank"))
    one_of("pairing.prompt_language", pairing.prompt_language, ("chosen", "rejected", "random", *languages))
    require(
        pairing.chosen > pairing.rejected,
        f"pairing.rejected: {pairing.rejected} must lie below pairing.chosen={pairing.chosen}",
    )
    require(
        pairing.points != "quantile" or (pairing.rejected >= 0 and pairing.chosen <= 1),
        "pairing.points=quantile: pairing.chosen and pairing.rejected are levels in [0, 1]",
    )
    ruled = (pairing.min_margin, pairing.max_margin, pairing.length_ratio)
    require(
        pairing.points != "every" or (pairing.scope in ("mono", "multi") and set(ruled) == {None}),
        "pairing.points=every: takes all pairs of a pool; choose pairing.scope=mono or multi, without margins and length_ratio",
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
        ("filters.disagreement", pairing.filters.disagreement, 0.0),
    ):
        require(value is None or value >= least, f"pairing.{key}: {value} must be at least {least}")
    for name, limit in vars(pairing.limits).items():
        require(
            limit is None or (limit >= 0 and (name == "min_pairs" or limit <= 1)),
            f"pairing.limits.{name}: {limit} is not a {'count' if name == 'min_pairs' else 'share in [0, 1]'}",
        )
