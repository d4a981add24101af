"""Two processes on the CPU (gloo) train to the numbers of one: data parallel, and with the layers' weights spread."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from croco.config import Config
from croco.errors import UserError
from croco.show.progress import Progress
from croco.training import launch, metrics
from croco.training.data import Example, Material
from tests.training.test_training import config_of, examples, fit  # noqa: F401 - a fixture

SETTINGS = ("trainer.watch_every=2", "method.batch_size=5", "trainer.tokens_per_pack=64", "method.epochs=2")


def in_two(policy: Path, strategy: str, *more: str) -> Config:
    return config_of(policy, *SETTINGS, f"trainer.strategy={strategy}", "trainer.devices=2", *more)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_equal_one(strategy: str, policy: Path, examples: list[Example], tmp_path: Path) -> None:  # noqa: F811
    """12 examples in batches of 5, 5 and 2: shares are unequal, and in the last step a process may have one example."""
    _, expected = fit(config_of(policy, *SETTINGS), examples, tmp_path / "one")
    result, rows = fit(in_two(policy, strategy), examples, tmp_path / "two")
    assert result["steps"] == len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        for name in ("loss", "margin", "accuracy", "grad_norm", "learning_rate", "chosen_tokens"):
            assert row[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), (row["step"], name)
    a, b = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("one", "two"))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.slow
def test_a_killed_run_of_two_goes_on(policy: Path, examples: list[Example], tmp_path: Path) -> None:  # noqa: F811
    config = in_two(policy, "ddp", "trainer.checkpoint_every=2")
    _, expected = fit(config, examples, tmp_path / "whole")

    class Killed(Exception):
        pass

    def log(values: dict[str, float], step: int) -> None:
        if step == 3:
            raise Killed

    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(Killed):
        launch.train(config, Material(examples, ()), folder, tmp_path, Progress(), log)
    assert not (folder / launch.JOB).exists()
    _, rows = fit(config, examples, folder)
    assert [r["loss"] for r in rows] == pytest.approx([r["loss"] for r in expected], abs=1e-7)
    assert len(metrics.read(folder)) == len(expected)


@pytest.mark.slow
def test_what_a_process_has_to_say_is_said_by_the_first(
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
) -> None:
    config = in_two(policy, "ddp", "model.lora.targets=[nowhere]")
    with pytest.raises(UserError, match=r"model\.lora\.targets"):
        fit(config, examples, tmp_path / "run")


def test_several_nodes_are_started_through_slurm(policy: Path, tmp_path: Path) -> None:
    words = launch.command(in_two(policy, "ddp", "trainer.num_nodes=3"), tmp_path / "job")
    assert words[:6] == ["srun", "--overlap", "--nodes", "3", "--ntasks", "3"]
    assert words[-3:] == ["-m", "croco.training.worker", str(tmp_path / "job")]
    assert words[words.index("--nproc-per-node") + 1] == "2"
