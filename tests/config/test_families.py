"""Every model that is shipped: composed, in another size too, and its adapters put on its own class, built small."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from transformers import AutoModelForCausalLM

from croco.config import CONF, Config, paths, strict
from croco.config.evaluations import checked
from croco.errors import UserError
from tests.support.builders import config_of_family

CLASSES = {
    "aya": "cohere2",
    "eurollm": "llama",
    "gemma3": "gemma3_text",
    "gemma3_base": "gemma3_text",
    "qwen3": "qwen3",
    "smollm2": "llama",
    "smollm3": "smollm3",
    "apertus": "apertus",
    "salamandra": "llama",
    "teuken": "llama",
}
PAPER = {"eurollm": "utter-project/EuroLLM-9B-Instruct-2512", "aya": "CohereLabs/tiny-aya-global"}


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=list(overrides)))


def test_no_family_is_forgotten() -> None:
    assert {path.stem for path in (CONF / "model").glob("*.yaml")} - {"tiny", "custom"} == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_size_composes_to_its_own_checkpoint_and_checks_by_rule(name: str) -> None:
    first = composed(f"model={name}")
    assert first.model.path == PAPER.get(name, first.model.path)
    assert first.evals.checks is not None
    assert first.prompts.source != "tiny"
    last = list(first.model.sizes)[-1]
    assert composed(f"model={name}", f"model.size={last}").model.path == first.model.sizes[last]


@pytest.mark.parametrize("name", CLASSES)
def test_adapters_find_every_layer_they_name(name: str) -> None:
    """A linear layer of each name in a model of the family's own class."""
    model = AutoModelForCausalLM.from_config(config_of_family(CLASSES[name]))
    there = {module.rpartition(".")[2] for module, _ in model.named_modules()}
    assert set(composed(f"model={name}").model.lora.targets) <= there


def test_a_size_that_is_none_is_one_line_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"^model\.size: there is 270m, 1b, 4b, 12b, 27b, and no '5b'"):
        composed("model=gemma3", "model.size=5b")


def test_what_was_fetched_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROCO_CACHE", str(tmp_path))
    assert composed("model=smollm2").model.path == "HuggingFaceTB/SmolLM2-135M-Instruct"
    paths.fetched_folder("smollm2").mkdir(parents=True)
    assert composed("model=smollm2").model.path == str(tmp_path / "models" / "smollm2")


def test_checks_ask_where_there_are_prompts_and_refuse_a_set_without_any() -> None:
    assert checked(composed("model=eurollm", "lang.languages=[en,mt,cy]").evals.checks, ["en", "mt", "cy"]) == ["en"]
    with pytest.raises(UserError, match=r"evals\.checks\.prompts: no prompts of our own in cy, mt"):
        composed("model=eurollm", "lang.languages=[mt,cy]")


def test_evaluations_other_than_a_models_own_compose() -> None:
    """A family's file sets no key of an evaluation, which would be half of it where another one is chosen."""
    for name in CLASSES:
        assert composed(f"model={name}", "evals=none").evals.checks is None
    topics = [composed(*words).evals.checks.topics for words in (["model=smollm2"], ["evals=checks"])]
    assert topics == ["heldout", "all"]


def test_training_on_our_own_prompts_asks_for_other_topics_in_the_checks() -> None:
    with pytest.raises(UserError, match=r"evals\.checks\.topics"):
        composed("model=smollm2", "evals.checks.topics=all")
