"""Preferences in, a reward model out: the chain with reward=trained, what it refuses, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForSequenceClassification

from croco.errors import UserError
from tests.jobs.test_chain import run
from tests.support.builders import build_reward

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "woke",
    "the",
    "cat",
    "that",
    "slept",
    "near",
    "my",
    "window",
    "all",
    "day",
]
ROWS = [
    {"id": i, "prompt": f"Say something about the {w}, please?", "chosen": " ".join(WORDS[i:]), "rejected": f"{w} no"}
    for i, w in enumerate(WORDS)
]


def own(base: Path, file: Path, *more: str) -> tuple[str, ...]:
    lora = "reward.training.lora.targets=[q_proj]"
    small = ("reward.training.tune=lora", lora, "reward.training.heldout=0.4", "reward.training.batch_size=4")
    return ("reward=trained", f"reward.base={base}", f"reward.preferences={file}", "evals=none", *small, *more)


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def summary(runs: Path, stage: str) -> dict[str, Any]:
    (manifest,) = runs.glob(f"{stage}/*/manifest.json")
    return json.loads(manifest.read_text(encoding="utf-8"))["summary"]


@pytest.mark.slow
def test_the_loop_is_closed(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Two members; what cannot be used is counted; a second run finds all of it."""
    unusable = [
        ROWS[0] | {"rejected": ROWS[0]["chosen"]},
        ROWS[1] | {"rejected": " "},
        ROWS[2],
        ROWS[3] | {"rejected": "fox " * 999},
    ]
    file = written(tmp_path / "mine.jsonl", [*ROWS, *unusable])
    settings = own(policy, file, "reward.members=2", "reward.aggregate=pessimistic", "reward.length=control")
    out = run(policy, reward, tmp_path / "runs", *settings)
    assert summary(tmp_path / "runs", "preferences")["left_out"] == {"equal sides": 1, "empty side": 1, "duplicate": 1}
    told = "".join(out.splitlines())
    assert all(f"mine.jsonl:{line})" in told for line in (21, 22)), "where each reason is met first"
    made = summary(tmp_path / "runs", "reward_model")
    assert made["models"] == ["model-0", "model-1"]
    assert made["left_out"] in ({"conversation too long": 1}, {}), "it may be held out"
    (folder,) = (tmp_path / "runs" / "reward_model").iterdir()
    assert AutoModelForSequenceClassification.from_pretrained(folder / "model-1").num_labels == 1
    scores = pq.read_table(next((tmp_path / "runs").glob("scores/*/scores.parquet")))
    assert None not in scores["disagreement"].to_pylist()
    ranked = summary(tmp_path / "runs", "reward_ranking")
    assert "by length" in " ".join(table["title"] for table in ranked["tables"])
    assert out.index("reward_ranking: made") < out.index("generations/en")
    again = run(policy, reward, tmp_path / "runs", *settings)
    assert "reward_model: found" in again
    assert "made in" not in again


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": [{"role": "assistant", "content": "hi"}]}, r":2: `prompt` ends with the assistant's turn"),
        ({"chosen": [{"role": "user", "content": "hi"}]}, r":2: `chosen` ends with the user's turn"),
        ({"chosen": None}, r":2: no chosen"),
        ({"margin": "much"}, r":2: `margin` must be a number"),
        ({"prompt": [{"role": "user"}], "chosen": [{"role": "user"}]}, r":2: `chosen` ends with the user"),
    ],
)
def test_what_is_no_preference_is_refused_with_its_line(
    row: dict[str, Any], says: str, policy: Path, reward: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.jsonl", [ROWS[0], ROWS[1] | row])
    with pytest.raises(UserError, match=says):
        run(policy, reward, tmp_path / "runs", *own(policy, file))
    assert not list((tmp_path / "runs").glob("reward_model/*/manifest.json"))


def test_a_source_in_another_language_than_said_is_refused(policy: Path, reward: Path, tmp_path: Path) -> None:
    danish = "Hvordan kan jeg bedst lære at spille klaver uden at forstyrre mine naboer om aftenen?"
    file = written(tmp_path / "mine.jsonl", [row | {"prompt": f"{danish} {row['id']}"} for row in ROWS])
    with pytest.raises(UserError, match=r"mine\.jsonl:1: not in 'en', and so are 20 of 20"):
        run(policy, reward, tmp_path / "runs", *own(policy, file))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("reward.base=null", r"reward\.base: name the checkpoint"),
        ("reward.preferences=null", r"reward\.preferences: name preference data"),
        ("reward.preferences=/nowhere.jsonl", r"no such file, folder or hub data set"),
        ("reward.preferences=[{path: tiny, wieght: 2}]", r"reward\.preferences\[0\]\.wieght"),
        ("reward.members=0", r"reward\.members"),
        ("reward.training.tune=some", r"reward\.training\.tune"),
        ("reward.least_accuracy=1.5", r"reward\.least_accuracy"),
    ],
)
def test_bad_settings_name_their_key(override: str, says: str, policy: Path, reward: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        run(policy, reward, tmp_path / "runs", "reward=trained", override)


def test_a_base_of_several_labels_is_refused(policy: Path, reward: Path, tmp_path: Path) -> None:
    several = build_reward(tmp_path / "several", labels=3)
    with pytest.raises(UserError, match=r"reward\.base: .*several: has 3 labels"):
        run(policy, reward, tmp_path / "runs", "reward=trained", f"reward.base={several}")


@pytest.mark.slow
def test_a_reward_that_is_not_shown_to_rank_stops_the_run_or_loses_the_language(
    policy: Path, reward: Path, tmp_path: Path
) -> None:
    """Nothing is generated where it stops; English, of which nothing is asked, is what is left."""
    settings = ("evals=reward_ranking", "reward.least_accuracy={da: 0.999}", "method.epochs=0.5")
    with pytest.raises(UserError, match=r"reward\.least_accuracy=.*da: corruption accuracy"):
        run(policy, reward, tmp_path / "runs", *settings)
    assert not (tmp_path / "runs" / "generations").exists()
    out = run(policy, reward, tmp_path / "runs", *settings, "reward.below=leave_out")
    assert "reward_ranking: found" in out
    assert "generations/en" in out
    assert "generations/da" not in out
