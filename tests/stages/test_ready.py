"""Ready-made pairs, answers and scores in the place of what a run makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from croco import tracking
from croco.artifacts.store import Store
from croco.config import CONF, Config, strict
from croco.errors import UserError
from croco.jobs.chain import Chain
from croco.pairing import levels, show
from croco.show import tables
from croco.show.progress import Progress
from croco.stages import stages


def composed(file: Path, kind: str, *words: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        said = [f"data={kind}", f"data.path={file}", "lang=[en,da]", "evals=none", "data.heldout=1", *words]
        return strict(compose("config", overrides=said))


def made(config: Config, folder: Path) -> dict[str, Any]:
    """Everything up to the pairs."""
    every = stages()
    last = max(number for number, stage in enumerate(every) if stage.name == "pairs")
    return dict(Chain(config, Store(folder / "runs"), Progress(), tracking.silence()).run(every[: last + 1]))


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "x.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_pairs_as_they_were_brought(tmp_path: Path) -> None:
    """12 prompts in two languages; one of them is held out in both; nothing is sampled, scored or known of pools."""
    rows = [
        {"prompt_id": f"q{n}", "language": lang, "prompt": f"{n} {lang}?", "chosen": f"yes {n}", "rejected": "no"}
        for lang in ("EN", "da-DK")
        for n in range(6)
    ]
    file = written(tmp_path, rows)
    artifacts = made(composed(file, "pairs"), tmp_path)
    assert not {"generations", "scores"} & set(artifacts)
    table = artifacts["pairs"].table("pairs")
    assert table.num_rows == 10
    assert table["chosen_score"].null_count == table["pool_size"].null_count == 10
    report = artifacts["pairs"].summary["report"]
    assert (report["margin"], report["truncated"]) == (None, {"chosen": None, "rejected": None})
    assert report["left_out"]["held out, or beyond data.prompts"] == 2
    shown = tables.text(show.tables(report))
    assert "truncated" in shown
    assert "not known" in shown
    assert "max_truncated" not in levels.shares(report)
    again = made(composed(file.rename(tmp_path / "moved.jsonl"), "pairs"), tmp_path)
    assert again["pairs"].address == artifacts["pairs"].address, "an address is of the content"


@pytest.mark.parametrize("kind", ["scores", "answers"])
def test_answers_are_paired_by_their_own_rewards_or_by_the_runs(kind: str, tmp_path: Path) -> None:
    """Own rewards say 0 < 1 < 2 by number; the run's says the longest is best, which is number 0."""
    rows = [
        {"id": f"q{n}", "language": lang, "prompt": f"{n}?", "responses": ["aaaa", "bbb", "cc"], "scores": [0, 1, 2]}
        for lang in ("en", "da")
        for n in range(6)
    ]
    words = ["pairing=best_worst", "pairing.limits.max_chosen_longer=1", "reward=function"]
    words += ["reward.function=tests.support.rewards:length"]
    artifacts = made(composed(written(tmp_path, rows), kind, *words), tmp_path)
    table = artifacts["pairs"].table("pairs").to_pylist()
    assert {row["chosen"][0]["content"] for row in table} == {"cc" if kind == "scores" else "aaaa"}
    assert {row["source"] for row in table} == {"brought"}
    assert artifacts["pairs"].summary["report"]["truncated"] == {"chosen": None, "rejected": None}


def test_what_does_not_go_with_ready_made_data(tmp_path: Path) -> None:
    file = written(tmp_path, [{"prompt": "?", "chosen": "a", "rejected": "b"}])
    for words, says in {
        ("method=sft",): "method.trains_on=reference: data=pairs brings pairs",
        ("method=online_dpo",): "method.refresh_every",
        ("source=off_policy",): "source: data=pairs says whose answers",
        ("evals=quality",): "evals.quality.grader: .* or evals=checks",
        ("data.path=nowhere.jsonl",): "data.path: nowhere.jsonl: no such file",
    }.items():
        with pytest.raises(UserError, match=says):
            composed(file, "pairs", *words)
