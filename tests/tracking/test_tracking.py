"""The mirror, read back from the offline files as W&B's own reader shows them: what a user would see after `wandb sync`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from croco import tracking
from croco.config import LoggerConfig
from croco.jobs import mirror
from croco.show.tables import Table
from croco.tracking import of_sweep
from tests.jobs.test_chain import command, run

OFFLINE = LoggerConfig(wandb=True, project="croco", entity=None, mode="offline", group="mine", tags=["t"])
LINKED = {"WANDB_MODE", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_API_KEY"}


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker sets what is not set; afterwards all is as before."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))


def trackers(folder: Path, config: LoggerConfig = OFFLINE) -> tracking.Trackers:
    return tracking.Trackers(config, folder, "abc", "name", {"seed": 1, "method": {"name": "dpo"}})


def inspect(folder: Path, *options: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", *options, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


@pytest.mark.slow
def test_a_run_is_silent_without_work_and_one_that_cannot_start_is_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = trackers(tmp_path)
    quiet.close(0)
    assert (quiet.hint, list(tmp_path.iterdir())) == ("", [])
    (tmp_path / "file").write_text("not a folder")
    blocked = trackers(tmp_path / "file")
    blocked.of("training").log({"loss": 0.5}, step=0)
    blocked.close(0)
    assert blocked.hint == ""
    assert "W&B could not start" in caplog.text


@pytest.mark.slow
def test_what_wandb_refuses_is_a_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirrored = trackers(tmp_path)
    tracker = mirrored.of("training")
    tracker.table("broken", ("one",), [("a", "b")])  # a row longer than its head
    assert "W&B: table failed" in caplog.text
    mirrored.end("training")
    tracker.log({"loss": 0.4}, step=1)  # after the end: nothing happens, nothing is raised
    assert mirrored.hint.startswith("W&B: 1 runs recorded offline; `wandb sync ")


def test_numbers_have_the_names_of_their_tables() -> None:
    table = Table("t", ("language", "base", "p", "note"), [("da", 0.5, None, "x"), ("macro", 1, float("nan"), "y")])
    assert dict(mirror.by_row(table)) == {"base/da": 0.5, "base/macro": 1}
    assert dict(mirror.numbers({"a": {"b": 2, "c": True, "d": "x"}, "e": float("inf")})) == {"a/b": 2}


@pytest.mark.slow
def test_a_job_as_wandb_shows_it(policy: Path, reward: Path, tmp_path: Path) -> None:
    """Four runs of one group, whose artifacts lead from the pairs over the adapter to the evaluation and the report."""
    words = ("logger=wandb", "logger.mode=offline", "logger.group=mine", "logger.tags=[t]")
    done = subprocess.run(command(policy, reward, tmp_path, *words), capture_output=True, text=True, check=True)
    assert "W&B: 4 runs recorded offline; `wandb sync " in done.stdout
    records: dict[str, list[dict[str, Any]]] = {}
    for folder in sorted((tmp_path / "wandb" / "wandb").glob("offline-run-*")):
        records[folder.name.rsplit("-", 1)[1]] = inspect(folder)
    assert set(records) == {"pairs", "training", "quality", "report"}
    again = run(policy, reward, tmp_path, *words)
    assert "W&B" not in again
    _check(records, tmp_path)


@pytest.mark.slow
def test_a_sweep_has_a_run_of_its_own_with_its_comparison_once(tmp_path: Path) -> None:
    """Concluded twice with the same comparison, and once with another: two records of it, under one id."""
    page, jobs = tmp_path / "comparison.html", Table("Sweep", ("job", "metric"), [("dpo", 0.5), ("sft", None)])
    for text in ("<p>first</p>", "<p>first</p>", "<p>second</p>"):
        page.write_text(text)
        numbers = {"jobs/done": 1, "quality/quality/dpo/da/lowest": -0.25}
        said = of_sweep.tell(tmp_path, page, jobs, numbers, OFFLINE, tmp_path / "records")
    assert said.startswith("W&B: 1 runs recorded offline")
    folders = sorted((tmp_path / "records" / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    for folder in folders:
        lines = inspect(folder)
        (begun,) = _of(lines, "run")
        assert (begun["run_id"], begun["job_type"], begun["run_group"]) == (f"{tmp_path.name}-sweep", "sweep", "mine")
        told = {key: value for one in _of(lines, "summary") for key, value in one["update"].items()}
        assert {key: told[key] for key in numbers} == numbers
    assert {file.read_text() for file in (tmp_path / "records").rglob("comparison_*.html")} == {
        "<p>first</p>",
        "<p>second</p>",
    }


def _check(records: dict[str, list[dict[str, Any]]], root: Path) -> None:
    used, made = {}, {}
    for job_type, lines in records.items():
        (begun,) = _of(lines, "run")
        assert (begun["run_group"], begun["job_type"]) == ("mine", job_type)
        assert re.match(rf"dpo en-da mono policy0 .*\b{job_type}$", begun["display_name"]), begun["display_name"]
        assert begun["tags"] == ["t", "policy0", "dpo", "mono", "on_policy", "en", "da"]
        assert begun["config"]["update"]["method"]["name"] == "dpo"
        assert _of(lines, "exit")[-1].get("exit_code", 0) == 0
        artifacts = [a for a in _of(lines, "artifact") if a["type"] != "run_table"]
        used[job_type] = [a["name"] for a in artifacts if a.get("use_after_commit")]
        made[job_type] = [a["name"] for a in artifacts if not a.get("use_after_commit")]
    assert all(len(names) == 1 for names in made.values()), made
    assert used == {
        "pairs": [],
        "training": made["pairs"],
        "quality": made["training"],
        "report": made["quality"],
    }
    (step,) = [one["item"] for one in _of(records["training"], "history")]
    assert step["training/loss"] == pytest.approx(0.6931, abs=1e-3)
    assert {m.get("name") for m in _of(records["training"], "metric")} >= {
        "training/loss",
        "training/validation_accuracy",
    }
    summary: dict[str, Any] = {}
    for update in _of(records["report"], "summary"):
        summary |= update["update"]
    row = {"metric", "quality/difference/da", "quality/high/macro", "training/margin", "training/verdict", "warnings"}
    row |= {"pairs/chosen_longer", "seconds/training", "costs/seconds", "costs/tokens", "costs/memory_gib"}
    assert row | {"changes/better", "changes/worse"} <= set(summary)
    assert summary["costs/seconds"] >= summary["seconds/training"]
    (answers,) = root.rglob("answers_*.table.json")
    shown = json.loads(answers.read_text())
    assert shown["columns"] == ["language", "prompt", "base", "tuned"]
    assert {row[0] for row in shown["data"]} == {"en", "da"}
    (pairs,) = root.rglob("pairs_*.table.json")
    assert len(json.loads(pairs.read_text())["data"]) == 12


def _of(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line[kind] for line in lines if line["type"] == kind]
