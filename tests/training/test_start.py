"""Training that goes on where another run ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from croco.config import Config
from croco.engines.holder import EngineHolder
from croco.errors import UserError
from croco.show.progress import Progress
from croco.training import fit as fitting
from croco.training import launch, loaded
from croco.training.data import Example, Material
from croco.training.model import build_model
from croco.training.start import Start
from tests.training.test_training import config_of, examples  # noqa: F401

SETTINGS = ("method.batch_size=4", "method.learning_rate=0.01", "trainer.watch_every=null", "trainer.watch_prompts=0")


def train(
    config: Config, rows: list[Example], folder: Path, start: Start, engines: EngineHolder | None = None
) -> dict[str, Any]:
    folder.mkdir(parents=True)
    done = launch.train(
        config, Material(rows, (), (), start), folder, folder.parent, Progress(), lambda values, step: None, engines
    )
    return done | {"rows": [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]}


@pytest.mark.parametrize("method", ["dpo", "max_r"])
def test_a_run_cut_into_rounds_is_the_run_that_was_not_cut(
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    """12 examples, 3 steps, with the order of the data fixed: the first two steps in one round, the third in the next. Adapter,
    moments, schedule and dropout go on, so the weights are equal to the bit; so they are where the policy stays loaded."""
    monkeypatch.setattr("croco.training.data._order", lambda seed, epoch, examples: np.arange(examples))
    config = config_of(policy, f"method={method}", *SETTINGS)
    rows = examples if method == "dpo" else [Example(e.prompt, e.answers[:1]) for e in examples]
    whole = train(config, rows, tmp_path / "whole", Start())
    engines, built = EngineHolder(), []
    engines.take_turns(together=True)
    monkeypatch.setattr(loaded.model, "build_model", lambda *given: built.append(build_model(*given)) or built[-1])
    for name, held in (("anew", None), ("kept", engines)):
        folder = tmp_path / name
        train(config, rows[:8], folder / "first", Start(later=1), held)
        start = Start(adapter=folder / "first/adapter", before=folder / "first", step=2)
        second = train(config, rows[8:], folder / "second", start, held)
        assert [r["loss"] for r in second["rows"]] == [r["loss"] for r in whole["rows"]]
        assert [r["learning_rate"] for r in second["rows"]] == [r["learning_rate"] for r in whole["rows"]]
        assert second["steps"] == whole["steps"] == 3
        a, b = (load_file(f / "adapter/adapter_model.safetensors") for f in (tmp_path / "whole", folder / "second"))
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert len(built) == 3  # two rounds anew, two with one model
    configs = [
        json.loads((tmp_path / name / "second/adapter/adapter_config.json").read_text()) for name in ("anew", "kept")
    ]
    for one in configs:
        one["target_modules"].sort()
    assert configs[0] == configs[1]


def test_the_reference_may_be_another_adapter(policy: Path, examples: list[Example], tmp_path: Path) -> None:  # noqa: F811
    """Against the policy it begins with, a round starts at margin 0; against the base it starts where the round before ended."""
    config = config_of(policy, *SETTINGS)
    train(config, examples, tmp_path / "first", Start(later=3))
    adapter = tmp_path / "first/adapter"
    start = Start(adapter=adapter, before=tmp_path / "first", step=3)
    against_base = train(config, examples, tmp_path / "base", start)["rows"][3]
    against_itself = train(config, examples, tmp_path / "itself", replace(start, reference=adapter))["rows"][3]
    assert against_itself["margin"] == pytest.approx(0, abs=1e-4)
    assert abs(against_base["margin"]) > 0.01


def test_an_adapter_of_another_shape_is_named(policy: Path, examples: list[Example], tmp_path: Path) -> None:  # noqa: F811
    config = config_of(policy, *SETTINGS)
    train(config, examples, tmp_path / "first", Start())
    other = config_of(policy, *SETTINGS, "model.lora.r=4")
    with pytest.raises(UserError, match=r"model\.lora"):
        train(other, examples, tmp_path / "second", Start(adapter=tmp_path / "first/adapter"))


def test_a_round_without_the_moments_of_the_one_before_says_so(
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
) -> None:
    config = config_of(policy, *SETTINGS)
    train(config, examples, tmp_path / "first", Start())  # nothing was planned behind it
    assert not (tmp_path / "first" / "optimiser.pt").exists()
    assert fitting.step_of(tmp_path / "first") == 3
    start = Start(adapter=tmp_path / "first/adapter", before=tmp_path / "first", step=3)
    with pytest.raises(UserError, match="optimiser"):
        train(config, examples, tmp_path / "second", start)
