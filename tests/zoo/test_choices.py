"""The table of models to choose between, and the recipe for one more."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, strict
from tests.zoo import choices, report

TEXT = report.FILE.read_text(encoding="utf-8")


def test_every_size_has_a_card_and_every_card_a_size() -> None:
    """A card's facts are there or a question mark, with where they are from."""
    known = choices.cards()
    assert {hub for _, hub in (*choices.policies(), *choices.rewards())} == set(known)
    asked = {"parameters", "languages", "context", "system", "thinking", "bos", "licence", "gated", "source"}
    for hub, card in known.items():
        assert asked <= set(card) <= asked | {"note"}, hub


def test_the_table_is_what_the_command_writes() -> None:
    assert report.between(TEXT, "choices", choices.table()) == TEXT


def test_what_a_model_takes_is_what_was_measured_for_its_size() -> None:
    """EuroLLM-9B itself: 18.3 GB and the 45.0 measured; 140,000 x 0.0616 s = 2.396 h. Its 22B has 2.5 times the products."""
    kept, again = choices.gigabytes(choices.MEASURED)
    assert kept == pytest.approx(18.3 + 45.0, rel=0.02)
    assert 18.3 < again < 25
    assert choices.training_hours(choices.MEASURED) == pytest.approx(2.396, abs=1e-3)
    larger = choices.shape("utter-project/EuroLLM-22B-Instruct-2512")
    assert choices.training_hours(larger) / 2.396 == pytest.approx(
        larger.products / choices.MEASURED.products, abs=1e-3
    )
    assert choices.shape("google/gemma-3-1b-pt") == choices.shape("google/gemma-3-1b-it")


def test_a_model_made_by_the_recipe_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of ten lines as docs/models.md has it, in a folder of one's own."""
    block = TEXT.split("### To add one")[1].split("    # @package _global_")[1].split("\n\n")[0]
    recipe = textwrap.dedent(f"    # @package _global_{block}\n")
    assert len(recipe.splitlines()) == 10
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(recipe, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = strict(compose("config", overrides=["model=mine", "model.size=1b"]))
    assert config.model.path == "ORGANISATION/SMALLER-CHECKPOINT"
    assert config.prompts.source == "hub"  # the paper's setting around it
