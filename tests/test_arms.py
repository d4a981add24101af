"""Every arm of the paper as one command, on tiny random checkpoints: what must hold of each."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import build_translator
from tests.test_chain import run

REAL = ("engine=hf", "evals=none", "sampling.samples=4", "sampling.max_new_tokens=8")


def tables(runs: Path, stage: str) -> dict[str, Path]:
    """Language -> the folder of the stage's artifact."""
    found = {}
    for manifest in runs.glob(f"{stage}/*/manifest.json"):
        found[json.loads(manifest.read_text())["config"]["language"]] = manifest.parent
    return found


def test_icr_trains_its_reward_on_english_and_scores_with_it(policy: Path, reward: Path, tmp_path: Path) -> None:
    part = f"reward.options.trained_with.path={reward}"
    said = run(policy, Path("${model.path}"), tmp_path, "reward=icr", "pairing=best_worst", part, *REAL)
    assert said.count("training: made") == 2
    for stage in ("generations/en", "prompts/en"):
        assert f"{stage}: found" in said  # shared with the English run
    manifests = [json.loads(p.read_text()) for p in tmp_path.glob("scores/*/manifest.json")]
    implicit = [m for m in manifests if m["config"]["kind"] == "implicit"]
    assert {m["config"]["language"] for m in implicit} == {"en", "da"}
    assert all(0 <= m["summary"]["alpha"] <= 1 for m in implicit)
    assert any(name.startswith("prompts@en") for m in implicit for name in m["upstream"])


def test_mapo_scores_what_is_not_english_against_the_english_answers(
    policy: Path, reward: Path, tmp_path: Path
) -> None:
    translator = build_translator(tmp_path / "translator")
    run(policy, translator, tmp_path / "runs", "reward=mapo", "reward.max_length=60", *REAL)
    rewards = {
        language: pq.read_table(folder / "scores.parquet")["reward"]
        for language, folder in tables(tmp_path / "runs", "scores").items()
    }
    assert rewards["en"].null_count == len(rewards["en"])
    assert rewards["da"].null_count < len(rewards["da"])


def test_answers_in_another_language_leave_the_pools(policy: Path, reward: Path, tmp_path: Path) -> None:
    """The random policy writes gibberish, of which language identification calls much something else than Danish."""
    pytest.importorskip("py3langid")
    part = f"reward.options.parts.quality.path={reward}"
    run(
        policy,
        Path("unused"),
        tmp_path,
        "reward=faithful",
        "reward.path=null",
        part,
        *REAL,
        "sampling.max_new_tokens=48",
    )
    for folder in tables(tmp_path, "scores").values():
        summary = json.loads((folder / "manifest.json").read_text())["summary"]
        assert 0 < summary["failed"] < summary["rows"]
