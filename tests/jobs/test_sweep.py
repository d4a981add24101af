"""Sweeps as a user calls them: no job takes another down, and the same command goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from croco.config import CONF
from croco.jobs import outcomes, summary, sweep
from tests.support import interrupts

ROOT = Path(__file__).parents[2]
SMALL = [
    "prompts.train=6",
    "prompts.heldout=6",
    "lang.languages=[en,da]",
    "engine=fake",
    "logger=none",
    "trainer.threads=1",
]


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "croco.run", *words], cwd=ROOT, capture_output=True, text=True)


def jobs(runs: Path) -> dict[str, outcomes.Outcome]:
    """By their last word."""
    (folder,) = (runs / "sweeps").iterdir()
    return {job.overrides[-1]: job for job in outcomes.of_sweep(folder)}


@pytest.mark.slow
def test_every_failure_is_in_its_own_log_and_in_the_table(tmp_path: Path) -> None:
    """Both jobs fail before anything heavy: a value that the checks refuse, a checkpoint that is not there."""
    words = ["-m", "logger=none", f"paths.artifacts={tmp_path}", "model.path=/nowhere", "sampling.temperature=0,1"]
    done = call(*words)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "sweep: 0 of 2 jobs done, 2 failed" in done.stdout
    for word, says in (
        ("sampling.temperature=0", "sampling.temperature"),
        ("sampling.temperature=1", "no such folder"),
    ):
        job = jobs(tmp_path)[word]
        assert says in (job.failure or "")
        assert "UserError" in (Path(job.folder) / "run.log").read_text()
        assert says in (Path(job.folder).parent / sweep.SUMMARY).read_text()
    again = call(*words)
    assert again.returncode == 1
    assert len(list((tmp_path / "sweeps").iterdir())) == 1, "the same command is the same sweep"


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]], ids=["basic", "joblib"]
)
def test_a_sweep_survives_its_jobs(policy: Path, reward: Path, tmp_path: Path, launcher: list[str]) -> None:
    """One job raises, one calls sys.exit, two are well; the second call finds what the first has made."""
    bad = "reward.function=tests.support.rewards:length,tests.support.rewards:broken,tests.support.rewards:leaves"
    words = ["-m", *launcher, f"model.path={policy}", f"paths.artifacts={tmp_path}", *SMALL, "reward=function", bad]
    first = call(*words, "evals=none")
    assert first.returncode == 1, first.stderr
    (folder,) = (tmp_path / "sweeps").iterdir()
    made = outcomes.of_sweep(folder)
    states = {job.overrides[-2].split(":")[-1]: job.state for job in made}
    assert states == {"length": "done", "broken": "failed", "leaves": "failed"}
    for job in made:
        log = (Path(job.folder) / "run.log").read_text()
        assert ("Traceback" in log) is (job.state == "failed")
    assert "ZeroDivisionError: this reward is broken" in first.stdout
    assert "SystemExit: this reward ends the process" in first.stdout
    assert len(re.findall("prompts/da: made", first.stdout)) == 1, "made once, also when jobs run at the same time"
    assert len(list((tmp_path / "generations").glob("*/manifest.json"))) == 2
    again = call(*words, "evals=none")
    assert "made in" not in again.stdout
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == [folder.name], (
        "the same command is the same sweep"
    )


@pytest.mark.slow
def test_ctrl_c_stops_the_sweep_with_one_line(policy: Path, reward: Path, tmp_path: Path) -> None:
    words = ["-m", f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={tmp_path}", *SMALL]
    slow = ["engine=hf", "sampling.samples=64", "method=dpo,sft", "evals=none"]
    command = [sys.executable, "-m", "croco.run", *words, *slow]
    pipe = subprocess.PIPE
    run = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=interrupts.hear)
    for line in run.stdout or ():
        if line.startswith("prompts/da"):
            break
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    expected = "croco: sweep interrupted: 0 of 2 jobs done, 1 interrupted; the same command goes on where it stopped"
    assert err.strip() == expected
    assert call(*words, *slow).returncode == 0


@pytest.mark.slow
def test_a_submitted_job_that_runs_out_of_time_goes_on(policy: Path, reward: Path, tmp_path: Path) -> None:
    """submitit on this machine, the twin of SLURM: the signal that comes before the end; the job is called again and finishes."""
    words = [
        "-m",
        "hydra/launcher=submitit_local",
        "hydra.launcher.timeout_min=10",
        "+hydra.launcher.max_num_timeout=3",
    ]
    own = [f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={tmp_path}", *SMALL, "evals=none"]
    slow = ["engine=hf", "sampling.samples=64", "seed=1,2"]
    command = [sys.executable, "-m", "croco.run", *words, *own, *slow]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (journals := list(tmp_path.glob("generations/*/journal/*.jsonl"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert journals
    (folder,) = (tmp_path / "sweeps").iterdir()
    first = outcomes.of_sweep(folder)[0]
    os.kill(first.pid, signal.SIGUSR2)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err + out
    assert [job.state for job in outcomes.of_sweep(folder)] == ["done", "done"]
    assert {job.pid for job in outcomes.of_sweep(folder)} - {first.pid}, "the job was called again"


def resolved(*words: str) -> tuple[str, str]:
    """The folder of a sweep's job and of the sweep, as Hydra's own configuration has them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=list(words), return_hydra_config=True)
    with_name = OmegaConf.select(composed, "hydra.sweep.dir")
    return OmegaConf.select(composed, "hydra.sweep.subdir"), with_name


def test_folders_follow_the_content() -> None:
    job, folder = resolved("method=dpo")
    assert resolved("method=dpo") == (job, folder)
    assert re.fullmatch(r"runs/sweeps/sweep-[0-9a-f]{16}", folder)
    assert resolved("method=dpo", "logger=none")[0] == job, "who is told of a run does not make it another"
    assert resolved("method=dpo", "method.loss.beta=0.2")[0] != job
    assert resolved("method=sft")[1] != folder
    assert resolved("experiments=methods_tiny")[1].startswith("runs/sweeps/methods_tiny-")


@pytest.mark.parametrize("choice", sorted(p.stem for p in (CONF / "hydra" / "launcher").glob("*.yaml")))
def test_launchers_compose(choice: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(
            "config",
            overrides=[f"hydra/launcher={choice}", "trainer=ddp", "trainer.devices=2"],
            return_hydra_config=True,
        )
    launcher = composed.hydra.launcher
    assert (launcher.gpus_per_node, launcher.nodes, launcher.max_num_timeout) == (2, 1, 20)


def test_the_search_composes_without_its_plugin() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=["hydra/sweeper=search"], return_hydra_config=True)
    assert composed.hydra.sweeper.direction == "maximize"
    assert composed.hydra.sweeper.sampler.seed == 42, "the same command asks for the same trials"


def test_the_table_shows_what_tells_jobs_apart(tmp_path: Path) -> None:
    outcomes.begin(tmp_path / "a", ["lang=da", "method=dpo"], 0).done(0.5, Path("report/abc"))
    outcomes.begin(tmp_path / "b", ["lang=da", "method=sft"], 1).failed(ValueError("no"))
    made = summary.table("s", outcomes.of_sweep(tmp_path))
    assert list(made.rows) == [
        ("method=dpo", 0.5, "done", "abc", "a", ""),
        ("method=sft", None, "failed", None, "b", "ValueError: no"),
    ]
    assert made.note == "The same in all: lang=da"


def test_seeds_of_any_kind_tell_no_job_from_another(tmp_path: Path) -> None:
    """They are one arm of a comparison (`croco.evals.comparing.stored.arms`), so they have one name."""
    words = (("sampling.seed=1", "seed=1"), ("model.lora.seed=2", "method.seed=2"), ("pairing.seed=3", "method=sft"))
    for number, own in enumerate(words):
        outcomes.begin(tmp_path / str(number), list(own), number).done(0.5, tmp_path)
    assert summary.names(outcomes.of_sweep(tmp_path)) == ["tuned", "tuned", "sft"]


def test_counts_against_what_there_is_to_be(tmp_path: Path) -> None:
    outcomes.begin(tmp_path / "a", [], 0).done(0.5, tmp_path)
    assert sweep.Sweep(tmp_path, 3, submitted=False).said() == "1 of 3 jobs done"
    assert sweep.Sweep(tmp_path, 3, submitted=False).close() == 1
    assert sweep.Sweep(tmp_path, 1, submitted=False).close() == 0
    outcomes.begin(tmp_path / "of an earlier sweep", ["seed=2"], 1).done(0.0, tmp_path)
    assert sweep.Sweep(tmp_path, 1, submitted=False).said() == "2 of 2 jobs done"
    assert sweep.Sweep(tmp_path, 1, submitted=False).close() == 0
    assert "in the queue" in sweep.Sweep(tmp_path, 3, submitted=True).interrupted()
    assert json.loads((tmp_path / "a" / outcomes.NAME).read_text())["state"] == "done"


@pytest.mark.slow
def test_a_search_of_three_trials(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Optuna asks for three trials, the last two of its model; the same command asks for the same and finds all they made."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    modelled = ["hydra.sweeper.n_trials=3", "+hydra.sweeper.sampler.n_startup_trials=1"]
    own = [f"model.path={policy}", f"reward.path={reward}", f"paths.artifacts={tmp_path}", *SMALL]
    first = call("-m", "hydra/sweeper=search", *modelled, *own)
    assert first.returncode == 0, first.stdout + first.stderr
    (folder,) = (tmp_path / "sweeps").iterdir()
    made = outcomes.of_sweep(folder)
    assert [job.state for job in made] == ["done"] * 3
    rates = {word for job in made for word in job.overrides if word.startswith("method.learning_rate=")}
    assert len(rates) == 3, "it searches"
    assert first.stdout.count("generations/da: made") == 1, "candidates are made once"
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    assert best["best_value"] == pytest.approx(max(job.metric for job in made if job.metric is not None))
    again = call("-m", "hydra/sweeper=search", *modelled, *own)
    assert again.returncode == 0
    assert "made in" not in again.stdout
    assert len(outcomes.of_sweep(folder)) == 3
