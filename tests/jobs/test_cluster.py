"""What the doctor says of disk and queue, without a GPU: sinfo's words as SLURM's manual has them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from croco.config import Config
from croco.jobs import cluster
from tests.jobs.test_needs import config_of

SINFO = "gpu gpu:a100:4(S:0-1)\ngpu gpu:h100:8,gpu:mig:2\ncpu (null)\n"


@pytest.fixture(scope="module")
def config() -> Config:
    return config_of("trainer.accelerator=gpu", "trainer.devices=2", "trainer.strategy=ddp", "evals=none")


@pytest.mark.parametrize(
    ("launcher", "devices", "state", "says"),
    [
        ({}, 2, "ok", "partitions cpu, gpu; up to 10 GPUs a node"),
        ({"partition": "gpu", "without_gpu": {"partition": "cpu"}}, 2, "ok", "up to 10 GPUs"),
        ({"partition": "gpus"}, 2, "fail", "hydra.launcher.partition=gpus: there is no gpus; there are cpu, gpu"),
        ({"without_gpu": {"partition": "x"}}, 2, "fail", "hydra.launcher.without_gpu.partition=x: there is no x"),
        ({"partition": "cpu"}, 2, "fail", "trainer.devices=2: no node of cpu has more than 0 GPUs"),
        ({"partition": "cpu", "gres": "gpu:2"}, 2, "ok", "partitions"),
    ],
)
def test_partitions_and_gpus_that_are_there(
    monkeypatch: pytest.MonkeyPatch, config: Config, launcher: dict[str, Any], devices: int, state: str, says: str
) -> None:
    done = SimpleNamespace(returncode=0, stdout=SINFO, stderr="")
    monkeypatch.setattr(cluster.subprocess, "run", lambda *given, **named: done)
    (found,) = cluster.slurm(config, launcher)
    assert found.state == state
    assert says in found.detail


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("sinfo", 30)])
def test_a_machine_without_slurm(monkeypatch: pytest.MonkeyPatch, config: Config, error: Exception) -> None:
    def fails(*given: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(cluster.subprocess, "run", fails)
    (found,) = cluster.slurm(config, {})
    assert (found.state, "does not answer" in found.detail) == ("fail", True)


@pytest.mark.parametrize(("free", "state"), [(1e15, "ok"), (1e4, "warn")])
def test_the_disk_against_what_the_plan_writes(
    monkeypatch: pytest.MonkeyPatch, config: Config, tmp_path: Path, free: float, state: str
) -> None:
    monkeypatch.setattr(cluster.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert cluster.disk(config).state == state
