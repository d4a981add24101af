"""Every key of a configuration file is known, and what is refused is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    PreTrainedConfig,
)

from croco.engines.base import Answered
from croco.engines.hf import HFGenerator, HFScorer
from croco.errors import UserError
from croco.language import text
from croco.models import keys
from croco.models.checkpoints import Checkpoint, load
from croco.training import packed
from tests.support.builders import build_policy, build_reward

FAMILIES = sorted({*packed.FAMILIES, "gemma2", "gemma3", "gpt_oss"})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_of_a_family_is_known(family: str) -> None:
    """As transformers' class has it, with its parts; a key that a later version adds is to be looked at."""
    config = AutoConfig.for_model(family)
    told = {name for part in (config, config.get_text_config()) for name in part.to_dict()} | {
        *PreTrainedConfig().to_dict()
    }
    assert not told - {*keys.CONFIG} - keys.SIZES - keys.NOTHING


def test_every_key_of_a_generation_config_is_known() -> None:
    assert {*vars(GenerationConfig())} == {*keys.GENERATION} | keys.NO_SAMPLING
    assert not {*keys.GENERATION} & keys.NO_SAMPLING


def test_no_key_stands_in_two_tables() -> None:
    assert not {*keys.CONFIG} & (keys.SIZES | keys.NOTHING)
    assert not keys.SIZES & keys.NOTHING


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"suppress_tokens": [5]}, "suppress_tokens"),
        ({"bad_words_ids": [[5, 6]]}, "bad_words_ids"),
        ({"forced_eos_token_id": 1}, "forced_eos_token_id"),
        ({"stop_strings": ["END"]}, "stop_strings"),
    ],
)
def test_what_a_generation_config_asks_for_and_is_not_done_is_refused(
    said: dict[str, Any], key: str, tmp_path: Path
) -> None:
    path = build_policy(tmp_path)
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, **said}))
    with pytest.raises(UserError, match=f"generation_config.json: {key} is not supported"):
        HFGenerator(Checkpoint(str(path)), text.load_tokenizer(str(path)), 1.0, 1.0, 4, 4)


def test_what_is_overruled_can_be_told() -> None:
    settings = GenerationConfig(do_sample=True, top_k=20, repetition_penalty=1.05, eos_token_id=1, max_new_tokens=9)
    assert keys.overruled(settings) == {"do_sample": True, "top_k": 20, "repetition_penalty": 1.05}


@pytest.mark.parametrize("key", ["use_bidirectional_attention", "quantization_config"])
def test_what_a_configuration_asks_for_and_is_not_done_is_refused(key: str, tmp_path: Path) -> None:
    path = build_policy(tmp_path, "gemma3_text")
    config = json.loads((path / "config.json").read_text())
    value = True if key == "use_bidirectional_attention" else {"quant_method": "fp8"}
    (path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(UserError, match=f"config.json: {key} is not supported"):
        load(AutoModelForCausalLM, Checkpoint(str(path)))


def test_soft_capping_is_computed_where_sdpa_would_drop_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Gemma 2 as reward model, with caps that change the order of five answers: eager is the oracle."""
    path = build_reward(tmp_path, family="gemma2", attn_logit_softcapping=0.05)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    torch.manual_seed(0)
    for name, weights in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(path)
    answers = [
        Answered([{"role": "user", "content": "what?"}], a, "en", "{}") for a in ("a", "fox", "dog", "0 1", "du")
    ]
    scorer = HFScorer(Checkpoint(str(path)), 100, 1000)
    assert "attention is eager: its attention caps logits" in caplog.text
    told: dict[str, list[float]] = {}
    for attention in ("eager", "sdpa"):
        own = AutoModelForSequenceClassification.from_pretrained(path, attn_implementation=attention).eval()
        told[attention] = []
        for a in answers:
            messages = [*a.messages, {"role": "assistant", "content": a.answer}]
            with torch.no_grad():
                ids = torch.tensor([text.conversation_ids(scorer.tokenizer, messages)])
                told[attention].append(own(ids).logits.item())
    assert scorer.score(answers) == pytest.approx(told["eager"], abs=1e-4)
    assert max(abs(a - b) for a, b in zip(told["eager"], told["sdpa"], strict=True)) > 0.01


def test_a_class_without_sdpa_is_loaded(tmp_path: Path) -> None:
    model, _ = load(AutoModelForCausalLM, Checkpoint(str(build_policy(tmp_path, "gpt_oss"))))
    assert model.config._attn_implementation == "eager"


def test_the_tables_in_the_documentation_are_these() -> None:
    from tests.zoo.report import FILE, between, key_tables

    text = FILE.read_text(encoding="utf-8")
    assert between(text, "keys", key_tables()) == text
