"""The mirror: offline without a key, closed whatever happens, silent when nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco import tracking
from croco.config import LoggerConfig

OFFLINE = LoggerConfig(wandb=True, project="croco", entity=None, mode="offline", group=None, tags=["t"])


def test_an_offline_run_leaves_its_file_and_says_how_to_send_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    tracker = tracking.start(OFFLINE, tmp_path, "abc", "name", {"seed": 1})
    tracker.log({"loss": 0.5}, step=0)
    tracker.summary({"done": 1})
    tracker.close()
    assert list(tmp_path.glob("wandb/offline-run-*/run-abc.wandb"))
    assert "wandb sync" in tracker.hint
    tracker.log({"loss": 0.4}, step=1)  # after the end: nothing happens, nothing is raised


def test_deferred_starts_only_when_told_something() -> None:
    started = []

    def begin() -> tracking.Tracker:
        started.append(1)
        return tracking.Tracker()

    quiet = tracking.Deferred(begin)
    quiet.close()
    assert not started
    loud = tracking.Deferred(begin)
    loud.log({"x": 1.0})
    loud.summary({"y": 2})
    loud.close()
    assert started == [1]


def test_a_tracker_that_cannot_start_is_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    tracker = tracking.start(OFFLINE, blocked, "abc", "name", {})
    tracker.log({"loss": 0.5})
    tracker.close()
    assert tracker.hint == ""
