"""What became of a job, as another process reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from croco.artifacts import processes
from croco.errors import UserError
from croco.jobs import outcomes


def test_done_failed_and_interrupted_are_told_apart(tmp_path: Path) -> None:
    outcomes.begin(tmp_path / "a", ["x=1"], 0).done(0.5, Path("runs/report/abc"))
    outcomes.begin(tmp_path / "b", ["x=2"], 1).failed(UserError("x: not so"))
    outcomes.begin(tmp_path / "c", ["x=3"], 2).interrupted()
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        outcomes.begin(tmp_path / "d", ["x=4"], 3).failed(error)
    outcomes.begin(tmp_path / "e", ["x=5"], 4)
    read = outcomes.of_sweep(tmp_path)
    assert [o.state for o in read] == ["done", "failed", "interrupted", "failed", "running"]
    assert (read[0].metric, read[0].report) == (0.5, "runs/report/abc")
    assert (read[1].failure, read[1].trace) == ("x: not so", None)
    assert read[3].failure == "ValueError: first line"
    assert "test_outcomes.py" in (read[3].trace or "")


def test_a_job_whose_process_is_gone_is_lost(tmp_path: Path) -> None:
    gone = subprocess.Popen(["sleep", "60"])
    host, _, _, machine = processes.name().rsplit("-", 3)
    outcome = outcomes.begin(tmp_path / "a", [], None)
    outcome.process = f"{host}-{gone.pid}-{processes.start_of(gone.pid)}-{machine}"
    outcome.write()
    assert outcomes.read(tmp_path / "a" / outcomes.NAME).state == "running"
    gone.kill()
    gone.wait()
    assert outcomes.read(tmp_path / "a" / outcomes.NAME).state == "lost"
    outcome.process = "elsewhere-1-2-00000000"  # whose processes cannot be seen from here
    outcome.write()
    assert outcomes.read(tmp_path / "a" / outcomes.NAME).state == "running"


def test_where_it_cannot_be_written_the_job_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(outcomes, "write_atomically", full)
    outcomes.begin(tmp_path / "a", [], None).done(1.0, tmp_path)
    assert "no space left" in caplog.text
    assert os.listdir(tmp_path) == []
