"""The last screen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from croco.artifacts import store
from croco.evals.comparing import changes
from croco.jobs import ending


def change(number: int, verdict: str) -> dict[str, object]:
    return asdict(changes.Change("quality", f"measure {number}", 0.5, 0.6, 0.1, 0.05, 0.15, 0.01, verdict))


def test_it_fits_a_screen_whatever_there_is_to_say(tmp_path: Path) -> None:
    report = store.Store(tmp_path, {"seed": 1}).artifact("report", 1, {})
    verdicts = (changes.BETTER, changes.WORSE, changes.OTHER, changes.SAME)
    many = [change(number, verdict) for verdict in verdicts for number in range(20)]
    report.seal({"changes": many, "warnings": [f"warning {number}" for number in range(20)]}, 1.0)
    said = ending.lines(report, "healthy", tmp_path)
    assert len(said) <= 30
    assert said[0] == "better: measure 0 0.500 → 0.600: +0.100 [+0.050, +0.150], p 0.010 (quality)"
    assert said.count("... and 15 more, on the page") == 4
    assert [line.partition(":")[0] for line in said[-3:]] == ["artifacts", "tables", "page"]


def test_a_run_without_evaluations_says_where_things_are(tmp_path: Path) -> None:
    report = store.Store(tmp_path, {"seed": 1}).artifact("report", 1, {})
    report.seal({"changes": [], "warnings": ["one"]}, 1.0)
    said = ending.lines(report, "flat", tmp_path)
    assert [line.partition(":")[0] for line in said] == ["training", "warning", "artifacts", "tables", "page"]
