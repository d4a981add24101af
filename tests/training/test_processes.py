"""Two processes on the CPU (gloo) train to the numbers of one: data parallel, and with the layers' weights spread."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from croco.artifacts import processes
from croco.config import Config
from croco.errors import UserError
from croco.models import devices
from croco.show.progress import Progress
from croco.training import launch, metrics, worker
from croco.training.data import Example, Material, Probe
from croco.training.fit import step_of
from tests.support.builders import build_policy
from tests.support.writes import Writes
from tests.training.test_training import config_of, examples, fit  # noqa: F401 - a fixture

SETTINGS = ("trainer.watch_every=2", "method.batch_size=5", "trainer.tokens_per_pack=64", "method.epochs=2")


def in_two(policy: Path, strategy: str, *more: str) -> Config:
    return config_of(policy, *SETTINGS, f"trainer.strategy={strategy}", "trainer.devices=2", *more)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    "family", ["llama", "gemma3"]
)  # the latter sees pictures: its language model alone has adapters
def test_two_processes_equal_one(
    family: str,
    strategy: str,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """12 examples in batches of 5, 5 and 2: shares are unequal, and in the last step a process may have one example. Each process
    has a device of its own, and the first alone writes; probes of the first step are of one adapter, and equal to the bit."""
    policy = build_policy(tmp_path / "policy", family)
    material = Material(examples, examples[:3], [Probe(list(e.prompt), "en") for e in examples[:2]])
    kept = ("evals.checkpoints=[2,4]", "trainer.watch_tokens=8")
    expected = run(config_of(policy, *SETTINGS, *kept), material, tmp_path / "one")
    written = Writes(tmp_path / "written", monkeypatch)
    rows = run(in_two(policy, strategy, *kept), material, tmp_path / "two")
    assert len(rows) == len(expected) == 5
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name in ("loss", "margin", "accuracy", "grad_norm", "learning_rate", "chosen_tokens"):
            assert row[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), (row["step"], name)
        if "validation_loss" in row:
            assert row["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-4)
    assert {n: v for n, v in rows[0].items() if "heldout" in n} == {
        n: v for n, v in expected[0].items() if "heldout" in n
    }
    for folder in ("adapter", "steps/step-2", "steps/step-4"):
        a, b = (load_file(tmp_path / name / folder / "adapter_model.safetensors") for name in ("one", "two"))
        assert a.keys() == b.keys()
        assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)
        assert not any("vision" in name for name in a)
    said = (tmp_path / "two/workers.log").read_text().splitlines()
    assert {line for line in said if line.startswith("process ")} == {"process 0: device 0", "process 1: device 1"}
    for root in (tmp_path / "two", tmp_path / "two-store"):
        found = written.below(root)
        assert found["0"]
        assert not found["1"]


def run(config: Config, material: Material, folder: Path) -> list[dict[str, Any]]:
    """The rows of a training with a store of its own, which computes the reference itself."""
    folder.mkdir()
    store = folder.with_name(f"{folder.name}-store")
    launch.train(config, material, folder, store, Progress(), lambda values, step: None)
    assert list(store.glob("reference/*/*.parquet"))
    return metrics.read(folder)


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
    assert [r["loss"] for r in rows] == [r["loss"] for r in expected]
    assert len(metrics.read(folder)) == len(expected)
    a, b = (load_file(f / "adapter/adapter_model.safetensors") for f in (tmp_path / "whole", folder))
    assert all(torch.equal(a[name], b[name]) for name in a)


def descendants(pid: int) -> set[int]:
    found = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return set(found).union(*map(descendants, found))


@pytest.mark.slow
def test_no_process_outlives_a_parent_that_is_killed_and_the_run_goes_on(
    policy: Path,
    examples: list[Example],  # noqa: F811
    tmp_path: Path,
) -> None:
    """torch's launcher and both ranks; the next start goes on behind the last checkpoint, to the rows of a run nobody touched."""
    _, expected = fit(config_of(policy, *SETTINGS, "method.epochs=8"), examples, tmp_path / "whole")
    config, folder = in_two(policy, "ddp", "trainer.checkpoint_every=2", "method.epochs=8"), tmp_path / "killed"
    run = multiprocessing.get_context("fork").Process(target=fit, args=(config, examples, folder))
    run.start()
    assert run.pid is not None
    while len(metrics.read(folder)) < 5 and run.is_alive():
        time.sleep(0.02)
    left = descendants(run.pid)
    run.kill()
    run.join()
    assert run.exitcode == -signal.SIGKILL
    assert len(left) >= 3
    deadline = time.monotonic() + 60
    while any(processes.start_of(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in left if processes.start_of(pid)]
    assert step_of(folder) >= 2
    _, rows = fit(config, examples, folder)
    assert [row["step"] for row in rows] == list(range(len(expected)))
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in expected], rel=1e-4)


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


def test_a_process_takes_its_device_before_it_reads_what_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four on a machine, the third: its device is the third from the first moment on."""
    told: list[object] = []

    class Stopped(Exception):
        pass

    def read(job: Path) -> None:
        told.append(devices.mine)
        raise Stopped

    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr("sys.argv", ["worker", "job"])
    monkeypatch.setattr(devices, "mine", 0)
    monkeypatch.setattr(worker.processes, "end_with_parent", lambda: None)
    monkeypatch.setattr(worker.handover, "read", read)
    with pytest.raises(Stopped):
        worker.main()
    assert told == [2]
