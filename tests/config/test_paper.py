"""`experiments=paper` against the paper: its README, scripts and published constants, one value after the other."""

from __future__ import annotations

import math
from typing import Any

import pytest

from croco.config import Config
from tests.config.test_config import composed

MODELS = {"eurollm": "utter-project/EuroLLM-9B-Instruct-2512", "aya": "CohereLabs/tiny-aya-global"}
EVERY: dict[str, Any] = {
    # data: 20,000 instructions of Dolci-Instruct-SFT, the first user turn, translated by TranslateGemma 27B, greedily
    "prompts.path": "allenai/Dolci-Instruct-SFT",
    "prompts.train": 20_000,
    "prompts.turns": "first",
    "prompts.language": "en",
    "translation.model": "Infomaniak-AI/vllm-translategemma-27b-it",
    "translation.max_new_tokens": 8192,
    # answers: vLLM's defaults, 64 of at most 4,096 tokens
    "sampling.samples": 64,
    "sampling.temperature": 1.0,
    "sampling.top_p": 1.0,
    "sampling.max_new_tokens": 4096,
    "engine.name": "vllm",
    # rewards: Skywork-Reward-V2 on Qwen3-8B, conversations of at most 32,768 tokens
    "reward.path": "Skywork/Skywork-Reward-V2-Qwen3-8B",
    "reward.max_length": 32_768,
    # pairs: the best against the one nearest mean - 2 sd of the whole pool, the prompt in the chosen's language, no filter
    "pairing.scope": "multi",
    "pairing.points": "sigma",
    "pairing.chosen": math.inf,
    "pairing.rejected": -2.0,
    "pairing.prompt_language": "chosen",
    "pairing.normalise": "none",
    "pairing.min_margin": None,
    "pairing.filters.truncated": False,
    "pairing.filters.wrong_language": False,
    "pairing.filters.duplicate": False,
    # training: LoRA on all projections, 8 GPUs x 8 accumulated, one epoch, cosine
    "model.lora.r": 16,
    "model.lora.alpha": 32,
    "model.lora.dropout": 0.05,
    "model.lora.targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "model.dtype": "bfloat16",
    "model.max_length": 4096,
    "method.batch_size": 64,
    "method.epochs": 1,
    "method.schedule": "cosine",
    "method.warmup_ratio": 0.05,
    "method.weight_decay": 0.01,
    "method.max_grad_norm": 1.0,
    "method.validation": 0.01,
    "method.refresh_every": None,
    "seed": 42,
    # evaluation: the test splits of EuroEval; m-ArenaHard v2.1, once in a random order, greedy, Qwen3.6 at 0.7 without thinking
    "evals.euroeval.test_split": True,
    "evals.arena.path": "CohereLabs/m-ArenaHard-v2.1",
    "evals.arena.orders": "random",
    "evals.arena.temperature": 0.0,
    "evals.arena.max_new_tokens": 8192,
    "judge.path": "Qwen/Qwen3.6-35B-A3B",
    "judge.temperature": 0.7,
    "judge.template_options": {"enable_thinking": False},
}
OF_ARM: dict[str, dict[str, Any]] = {
    "dpo": {"method.trains_on": "pairs", "method.learning_rate": 5e-6, "method.loss.beta": 0.1},
    "sft": {"method.trains_on": "reference", "method.learning_rate": 2e-4},
    "max_r": {"method.trains_on": "chosen", "method.learning_rate": 2e-4},
    "off_policy": {"method.trains_on": "pairs", "method.learning_rate": 5e-6, "source.kind": "off_policy"},
}
SETS = {"da": ["da"], "multi": ["en", "da", "nl", "de", "fr", "it", "es"]}


def value(config: Config, key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("model", "lang", "arm"),
    [
        ("eurollm", "da", "dpo"),
        ("aya", "multi", "dpo"),
        ("eurollm", "multi", "sft"),
        ("aya", "da", "max_r"),
        ("eurollm", "da", "off_policy"),
    ],
)
def test_an_arm_of_the_main_table_has_the_papers_values(model: str, lang: str, arm: str) -> None:
    config = composed("experiments=paper", f"model={model}", f"lang={lang}", f"arm={arm}")
    expected = EVERY | {"source.kind": "on_policy"} | OF_ARM[arm]
    expected |= {"model.path": MODELS[model], "lang.languages": SETS[lang]}
    if arm == "off_policy":
        expected["source.model"] = next(path for name, path in MODELS.items() if name != model)
    assert {key: value(config, key) for key in expected} == expected
