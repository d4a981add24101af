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
from tests.prompts.test_of_hub import files as pairs_of_hub
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
    assert sorted(found["evals.arena.path"].names) == ["da", "de", "en", "es", "fr", "it", "nl"]
    english = {need.key for need in needs.of(config_of("model=eurollm", "lang=en", "evals=checks"))}
    assert english == {"model.path", "reward.path", "prompts.path"}
    assert needs.of(config_of()) == []


def test_what_is_brought_takes_the_place_of_prompts_and_rewards() -> None:
    """Ready-made pairs need no prompts and no reward model, ready-made answers a reward; a reward that is trained, its
    preferences in the languages that are trained on."""
    own = ["model=eurollm", "lang=[da,en]", "evals=checks", "data.path=org/pairs", "data.name=clean"]
    (model, data) = needs.of(config_of(*own, "data=pairs"))
    assert (model.key, data.key, data.kind) == ("model.path", "data.path", "dataset")
    assert (data.names, data.languages, data.split) == (("clean",), ("da", "en"), "train")
    assert {need.key for need in needs.of(config_of(*own, "data=answers"))} == {
        "model.path",
        "reward.path",
        "data.path",
    }
    trained = [
        "model=eurollm",
        "lang=da",
        "reward=trained",
        "reward.base=org/base",
        "evals=checks",
        "prompts=laerebogen",
    ]
    trained.append("reward.preferences=[{path: org/p, name: raw, hub_split: test}]")
    (found,) = [need for need in needs.of(config_of(*trained)) if need.key.startswith("reward.preferences")]
    assert (found.key, found.names, found.languages, found.split) == (
        "reward.preferences[0]",
        ("raw",),
        ("en",),
        "test",
    )


def test_the_model_beside_a_measured_reward_is_needed() -> None:
    """By the key that names it, where the reward says how it is measured and where an evaluation does; not without rewards."""
    own = ["model=eurollm", "lang=en", "evals=checks", "prompts=laerebogen"]
    trained = [
        *own,
        "reward=trained",
        "reward.base=org/base",
        "reward.preferences=org/p",
        "reward.measured.beside=org/beside",
    ]

    def found(*words: str) -> dict[str, str]:
        return {need.key: need.repository for need in needs.of(config_of(*words)) if "beside" in need.repository}

    assert found(*trained) == {"reward.measured.beside": "org/beside"}
    asked = [
        *own,
        "evals=[checks,reward_ranking]",
        "evals.reward_ranking.path=org/b",
        "evals.reward_ranking.beside=org/beside",
    ]
    assert found(*asked) == {"evals.reward_ranking.beside": "org/beside"}
    assert found(*trained, "data=pairs", "data.path=org/pairs") == {}


@pytest.mark.slow
def test_fetched_here_and_run_without_a_network(tmp_path: Path) -> None:
    """Real clients, a hub of our own: the run finds models and prompts by their commit when it is gone, and the doctor, too."""
    rows = [json.dumps({"prompt_id": f"p{i}", "prompt": f"hvad hedder du {i} ?", "language": "da"}) for i in range(40)]
    repositories = {
        ("models", "org/policy"): files_of(build_policy(tmp_path / "p")),
        ("models", "org/reward"): {**files_of(build_reward(tmp_path / "r")), "original/weights.pth": b"0" * 4096},
        ("datasets", "org/prompts"): {"train.jsonl": "\n".join(rows).encode(), "README.md": b"Prompts."},
        ("datasets", "org/pairs"): pairs_of_hub("d1", "d2", *(f"d{i}" for i in range(3, 20))),
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
    asked.clear()
    brought = ["data=pairs", "data.path=org/pairs", "data.hub_split=train", "data.heldout=2"]
    with hub(repositories) as (address, asked):
        done = run("fetch", *brought, HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    assert f"data.path: org/pairs at {COMMIT[:12]}" in done.stdout
    assert not [line for line in asked if "eng_Latn" in line and "resolve" in line]
    done = run("run", *brought, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "runs").glob("data/*/manifest.json")
    held = json.loads(manifest.read_text())
    assert (held["config"]["data"]["path"], held["config"]["data"]["revision"]) == ("org/pairs", COMMIT)
    assert held["summary"]["rows"] == 19
