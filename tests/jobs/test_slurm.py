"""Sweeps on a real SLURM of two nodes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from croco.jobs import outcomes
from tests.jobs.test_sweep import SMALL
from tests.support import slurm

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(not slurm.INSTALLED, reason="SLURM's daemons are not installed"),
]
WORDS = [
    "-m",
    "hydra/launcher=slurm",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.timeout_min=30",
    "hydra.launcher.signal_delay_s=30",
    "evals=none",
    *SMALL,
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm.slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def start(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "croco.run", *WORDS, *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def jobs(runs: Path) -> list[outcomes.Outcome]:
    (folder,) = (runs / "sweeps").iterdir()
    return outcomes.of_sweep(folder)


def test_four_jobs_of_which_two_fail(cluster: dict[str, str], policy: Path, tmp_path: Path) -> None:
    """The reward of two fails: what stands behind it is taken out of the queue and says why. The others finish, what they share
    is made once, and the second call makes nothing anew."""
    bad = "reward.function=tests.support.rewards:length,tests.support.rewards:broken"
    own = [f"model.path={policy}", f"paths.artifacts={tmp_path}", "reward=function", bad, "seed=1,2"]
    first = start(cluster, *own)
    out, _ = first.communicate(timeout=400)
    assert first.returncode == 1, out
    assert "sweep: 2 of 4 jobs done, 2 failed" in out
    assert "prompts-1" in out
    assert "tables and reports" in out
    assert "5 in the queue stand behind it and are not run" in out
    assert "ZeroDivisionError: this reward is broken" in out
    failed = [job for job in jobs(tmp_path) if job.state == "failed"]
    assert ["ZeroDivisionError: this reward is broken" in str(job.failure) for job in failed] == [True, True]
    assert sorted(job.state for job in jobs(tmp_path)) == ["done", "done", "failed", "failed"]
    sealed = {path: path.stat().st_mtime for path in tmp_path.glob("*/*/manifest.json")}
    assert len(list(tmp_path.glob("generations/*/manifest.json"))) == 2, "one per language, for all jobs"
    again = start(cluster, *own)
    again.communicate(timeout=400)
    assert sealed == {path: path.stat().st_mtime for path in tmp_path.glob("*/*/manifest.json")}


@pytest.mark.parametrize("told", ["the end of its time", "preempted"])
def test_a_job_that_is_told_to_stop_is_queued_again_and_goes_on(
    cluster: dict[str, str], policy: Path, reward: Path, tmp_path: Path, told: str
) -> None:
    """While it writes answers: by the signal that comes before its time is over; or by SIGTERM, where another's come first."""
    own = [f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={tmp_path}"]
    run = start(cluster, *own, "engine=hf", "sampling.samples=64", "seed=1,2")
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("generations/*/journal/*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    first = started(tmp_path)
    number = jobs_called(cluster, "run-answers-1")
    if told == "preempted":
        urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
        subprocess.run(urgent, env=cluster, check=True)
    else:
        subprocess.run(["scancel", "--signal=USR2", number], env=cluster, check=True)
    out, _ = run.communicate(timeout=590)
    assert run.returncode == 0, out
    assert [job.state for job in jobs(tmp_path)] == ["done", "done"]
    assert started(tmp_path) > first, "it was called again"
    assert "Requeued job" in log_of(tmp_path, number), "by itself, with its rows on the disk"


def started(runs: Path) -> str:
    (path,) = runs.glob(f"sweeps/*/.parts/answers-1/{outcomes.NAME}")
    return outcomes.read(path).started


def jobs_called(environment: dict[str, str], name: str) -> str:
    """SLURM's number."""
    said = subprocess.run(["squeue", "-h", "-o", "%i", "-n", name], env=environment, capture_output=True, text=True)
    return said.stdout.split()[0]


def log_of(runs: Path, number: str) -> str:
    return "".join(path.read_text() for path in runs.glob(f"sweeps/*/.submitit/{number}/*_log.*"))


def rows(runs: Path, stage: str, name: str) -> pd.DataFrame:
    """All rows of a stage's artifacts, by language, prompt and sample."""
    found = sorted(runs.glob(f"{stage}/*/{name}.parquet"))
    return pd.concat(map(pd.read_parquet, found)).set_index(["language", "prompt_id", "sample"]).sort_index()


def addresses(runs: Path) -> set[str]:
    return {path.parent.name for stage in ("generations", "scores") for path in runs.glob(f"{stage}/*/manifest.json")}


def test_workers_on_two_nodes_share_one_run_and_a_node_dies(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Four jobs of an array, two per node; what the dead node leaves is made by the others, or by the same command again."""
    same = [f"model.path={policy}", f"reward.path={reward}", "engine=hf", "prompts.train=24", "sampling.samples=32"]
    small = ["prompts.heldout=6", "lang.languages=[en,da]", "logger=none", "trainer.threads=1", "evals=none"]
    shared = ["workers=shared", "workers.number=range(4)", "workers.prompts_per_unit=2"]
    runs = tmp_path / "runs"
    words = ["-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=2", "hydra.launcher.timeout_min=30"]
    words += [*small, *same, *shared, f"paths.artifacts={runs}"]

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "croco.run", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)

    with slurm.slurm(tmp_path / "slurm") as environment:
        array = start()
        deadline = time.monotonic() + 240
        while len(_writing(runs)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(_writing(runs)) >= 3, "at least one of them is on the node that dies"
        assert slurm.kill_node(environment, "n1") >= 2
        written = sum(path.stat().st_size for path in _writing(runs))
        out, _ = array.communicate(timeout=500)
        if array.returncode != 0:  # the driver may say that jobs are lost; rows are what counts
            array = start()
            out, _ = array.communicate(timeout=500)
        assert array.returncode == 0, out
    assert written > 0
    made = json.loads(next(runs.glob("generations/*/manifest.json")).read_text())
    assert sum(made["writers"].values()) == made["tables"]["generations"]["rows"] == 24 * 32
    alone = [sys.executable, "-m", "croco.run", *small, *same, f"paths.artifacts={tmp_path / 'alone'}"]
    subprocess.run(alone, cwd=ROOT, check=True, capture_output=True)
    assert addresses(runs) == addresses(tmp_path / "alone")
    ours, theirs = (rows(folder, "generations", "generations") for folder in (runs, tmp_path / "alone"))
    assert ours.index.equals(theirs.index)
    assert ours.seed.equals(theirs.seed)
    # A sum's last bit depends on the rows beside it, and a draw on a boundary tips over by it: 1 of 768 once did.
    same_ids = ours.token_ids.map(tuple) == theirs.token_ids.map(tuple)
    assert same_ids.mean() > 0.99
    scored, expected = (rows(folder, "scores", "scores").reward[same_ids] for folder in (runs, tmp_path / "alone"))
    assert np.allclose(scored, expected, atol=1e-5)


def _writing(runs: Path) -> list[Path]:
    """Journals of answers that hold rows."""
    return [path for path in runs.glob("generations/*/journal/*.jsonl") if path.stat().st_size]
