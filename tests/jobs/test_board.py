"""A sweep's table below what its jobs say."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.jobs import outcomes, sweep
from croco.jobs.board import Board


def test_it_shows_the_jobs_on_a_terminal_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes.begin(tmp_path / "a", ["method=dpo"], 0).done(0.5, tmp_path)
    outcomes.begin(tmp_path / "b", ["method=sft"], 1)
    made = sweep.Sweep(tmp_path, 3, submitted=False)
    shown = made._table()
    assert shown.title == "Sweep: 1 of 3 jobs done, 1 running"
    assert shown.rows == [("method=dpo", "done", 0.5), ("method=sft", "running", None)]
    for terminal, launcher, expected in (
        (False, "BasicLauncher", False),
        (True, "JoblibLauncher", False),
        (True, "BasicLauncher", True),
    ):
        monkeypatch.setattr("sys.stdout.isatty", lambda there=terminal: there)
        board = Board(made._table)
        board.show(launcher)
        assert (board._live is not None) is expected
        board.hide()
        board.hide()
