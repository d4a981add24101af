"""Evaluations by themselves: what `method=none` makes, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, strict
from croco.errors import UserError
from croco.jobs.job import measured_alone
from croco.stages import given, stages


def composed(*words: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=["evals=all_local", "lang=da", *words]))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 1, "target_modules": ["q_proj"]})
    )
    return tmp_path


def test_nothing_is_made_that_leads_to_training(adapter: Path) -> None:
    config = measured_alone(composed("method=none", f"model.adapter={adapter}"))
    wanted = [stage.name for stage in stages() if stage.wanted(config)]
    assert not {"generations", "scores", "pairs"} & set(wanted)
    assert [stage.folder for stage in stages() if stage.name == "training" and stage.wanted(config)] == ["given"]
    assert {"answers_base", "answers_tuned", "checked_base", "checked_tuned", "quality", "checks", "report"} <= set(
        wanted
    )
    assert config.model.adapter is None, "the base is the policy without it"
    assert config.evals.tuned == str(adapter)


def test_a_run_that_trains_is_as_before() -> None:
    config = composed()
    assert measured_alone(config) is config
    wanted = [stage.name for stage in stages() if stage.wanted(config)]
    assert {"generations", "scores", "pairs"} <= set(wanted)
    assert wanted.count("training") == 1
    assert given.trains(config)


def test_without_an_adapter_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"method=none: nothing is trained; name what is measured with model\.adapter"):
        composed("method=none")
    with pytest.raises(UserError, match=r"no adapter_config\.json there"):
        composed("method=none", f"model.adapter={tmp_path}")
