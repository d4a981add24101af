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
    """EuroLLM-9B itself: 18.3 GB and 45; 140,000 x 0.0616 s = 2.40 h. An eighth of it: 2.29 GB and a quarter of 45, an eighth of
    the hours. Reading: 8,960,000 answers x 550 tokens at twice 16,267 a second = 42.1 h. Recomputed: 45 / 42 GB, and
    42 x 4,096 x 8,192 x 2 bytes = 2.82 GB."""
    kept, again = choices.gigabytes(9.15)
    assert (kept, again) == pytest.approx((63.3, 18.3 + 2.82 + 1.07), abs=0.01)
    assert choices.gigabytes(9.15 / 8)[0] == pytest.approx(2.2875 + 11.25)
    assert choices.training_hours(9.15) == pytest.approx(2.396, abs=1e-3)
    assert choices.training_hours(9.15 / 8) == pytest.approx(2.396 / 8, abs=1e-3)
    assert choices.reading_hours(9.15) == pytest.approx(42.1, abs=0.1)


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
