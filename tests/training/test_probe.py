"""Held-out prompts answered beside training: many at once, as one by one, and as the run draws its own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from croco.language import text
from croco.training import probe
from croco.training.data import Probe
from croco.training.forward import padded
from croco.training.model import build_model
from croco.training.start import Reference
from tests.support.builders import build_talker
from tests.training.test_training import config_of

PROMPTS = ("the quick fox", "hvad?", "over the lazy dog 0 1 2 3 4", "a")


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, list[Probe]]:
    folder = build_talker(tmp_path_factory.mktemp("talker"))
    tokenizer = text.load_tokenizer(str(folder))
    asked = [Probe(text.prompt_ids(tokenizer, [{"role": "user", "content": p}]), "en") for p in PROMPTS]
    return build_model(config_of(folder), 0.0), tokenizer, asked


def answers(talker: tuple[Any, Any, list[Probe]], sampling: probe.Sampling, budget: int) -> list[list[int]]:
    model, tokenizer, asked = talker
    stops = probe.stop_ids(model.get_base_model().generation_config, tokenizer)
    return probe._answers(model, tokenizer, asked, sampling, stops, budget)


def test_together_as_one_by_one(talker: tuple[Any, Any, list[Probe]]) -> None:
    """Greedy, so that draws do not matter: prompts of four lengths, of which some end early and others do not."""
    greedy = probe.Sampling(0.0, 1.0, 24)
    together, alone = (answers(talker, greedy, budget) for budget in (10_000, 1))
    assert together == alone
    assert len({len(ids) for ids in together}) > 1


def test_batches_by_hand() -> None:
    """Rows of 10, 11, 30 and 12 in batches of at most 36 padded: three of 12 fill one, and 30 is alone."""
    assert probe._batches([10, 30, 11, 12], 36) == [[0, 2, 3], [1]]
    assert probe._batches([10, 11], 1) == [[0], [1]]


def test_the_checkpoints_own_settings_do_not_count(talker: tuple[Any, Any, list[Probe]], tmp_path: Path) -> None:
    """A generation_config.json that is greedy in effect; what is looked at is drawn at the run's temperature and top-p."""
    model, tokenizer, asked = talker
    base = model.get_base_model()
    drawn = probe.Sampling(3.0, 1.0, 24)
    before = answers(talker, drawn, 10_000)
    assert before != answers(talker, probe.Sampling(0.0, 1.0, 24), 10_000)
    own = base.generation_config
    base.generation_config = GenerationConfig(
        **{**own.to_dict(), "do_sample": True, "top_k": 1, "top_p": 0.01, "repetition_penalty": 9.0}
    )
    try:
        assert answers(talker, drawn, 10_000) == before
    finally:
        base.generation_config = own
    seen = probe.look(model, tokenizer, padded, asked, drawn, 64)
    assert seen["kl"] == pytest.approx(0.0, abs=1e-6)  # a fresh adapter is the base
    assert 0 <= seen["answer_ended"] <= 1


def test_drift_is_measured_against_the_run_s_own_reference(
    talker: tuple[Any, Any, list[Probe]], tmp_path: Path
) -> None:
    """A policy away from the base is 0 from an adapter of its own weights, which is read from disk once."""
    model, tokenizer, asked = talker
    weights = [p for n, p in model.named_parameters() if "lora_B" in n]
    with torch.no_grad():
        for weight in weights:
            weight.fill_(0.02)
    model.save_pretrained(tmp_path / "adapter")
    itself, drawn = Reference(tmp_path / "adapter"), probe.Sampling(1.0, 1.0, 8)
    try:
        assert probe.look(model, tokenizer, padded, asked, drawn, 64)["kl"] != pytest.approx(0.0, abs=1e-4)
        for _ in range(2):
            assert probe.look(model, tokenizer, padded, asked, drawn, 64, itself)["kl"] == 0.0
            (tmp_path / "adapter/adapter_model.safetensors").unlink(missing_ok=True)
    finally:
        with torch.no_grad():
            for weight in weights:
                weight.zero_()
