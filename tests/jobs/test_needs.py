"""What a run loads from the hub is known before, fetched through the hub's own client, and then found without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, strict
from croco.jobs import needs
from tests.support.builders import build_policy, build_reward
from tests.support.hub import COMMIT, files_of, hub

ROOT = Path(__file__).parents[2]


def config_of(*words: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return strict(compose("config", overrides=list(words)))


def test_everything_that_a_run_of_the_paper_loads() -> None:
    """Policy, reward model, translator, judge, prompts and questions: by hand from conf/. In English alone no translator."""
    found = {need.key: need for need in needs.of(config_of("model=eurollm", "lang=multi", "evals=arena_hard"))}
    assert set(found) == {
        "model.path",
        "reward.path",
        "translation.model",
        "judge.path",
        "prompts.path",
        "evals.arena.path",
    }
    assert found["evals.arena.path"].kind == "dataset"
    assert sorted(map(str, found["evals.arena.path"].names)) == ["da", "de", "en", "es", "fr", "it", "nl"]
    english = {need.key for need in needs.of(config_of("model=eurollm", "lang=en", "evals=checks"))}
    assert english == {"model.path", "reward.path", "prompts.path"}
    assert needs.of(config_of()) == []


@pytest.mark.slow
def test_fetched_here_and_run_without_a_network(tmp_path: Path) -> None:
    """Real clients, a hub of our own: the run finds models and prompts by their commit when it is gone, and the doctor, too."""
    rows = [json.dumps({"prompt_id": f"p{i}", "prompt": f"hvad hedder du {i} ?", "language": "da"}) for i in range(40)]
    repositories = {
        ("models", "org/policy"): files_of(build_policy(tmp_path / "p")),
        ("models", "org/reward"): {**files_of(build_reward(tmp_path / "r")), "original/weights.pth": b"0" * 4096},
        ("datasets", "org/prompts"): {"train.jsonl": "\n".join(rows).encode(), "README.md": b"Prompts."},
    }
    words = "model=custom model.path=org/policy reward=custom reward.path=org/reward trainer=cpu engine=hf lang=da evals=none"
    words += (
        " prompts=laerebogen prompts.path=org/prompts prompts.train=12 prompts.heldout=4 prompts.check_language=false"
    )
    words += " sampling.samples=4 sampling.max_new_tokens=8 method.batch_size=4 logger=none model.max_length=256"
    own = [*words.split(), "reward.max_length=256", "trainer.watch_every=null", f"paths.artifacts={tmp_path / 'runs'}"]
    base = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    base |= {"HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}

    def run(command: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        called = [sys.executable, "-m", f"croco.{command}", *more, *own]
        return subprocess.run(called, cwd=ROOT, env={**base, **environment}, text=True, capture_output=True)

    with hub(repositories) as (address, asked):
        done = run("fetch", HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    assert f"reward.path: org/reward at {COMMIT[:12]}" in done.stdout
    assert not [line for line in asked if "original" in line]
    done = run("run", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "runs").glob("training/*/manifest.json")
    assert json.loads(manifest.read_text())["config"]["model"] == f"org/policy@{COMMIT}"
    assert run("doctor", "--offline").returncode == 0
