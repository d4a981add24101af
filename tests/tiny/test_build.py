"""The recipe of the embedded models, a few steps of everything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from croco.tiny import MODELS, build, measure
from croco.tiny.pretrain import Recipe


@pytest.mark.slow
def test_the_recipe_makes_loadable_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in build.RECIPES:
        monkeypatch.setitem(build.RECIPES, name, Recipe(steps=3, batch=4, muon_lr=0.01, adam_lr=0.004))
    monkeypatch.setattr(build, "PREFERENCES", 128)
    steps = ["policy", "other_policy", "backbone", "reward"]
    monkeypatch.setattr(sys, "argv", ["build", "--out", str(tmp_path), "--only", *steps])
    build.main()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "other_policy").config.hidden_size == 96
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward").config.num_labels == 1
    assert measure.parameters(tmp_path / "policy") == measure.parameters(MODELS / "policy")
    assert not list(tmp_path.glob("*.tmp"))
