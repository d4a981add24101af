"""How much memory a process can still take."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.models import host


def test_the_tightest_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 KiB are there; of a limit of 500,000 bytes 300,000 are taken, 50,000 of which are files that give way: 250,000."""
    monkeypatch.setattr(host, "PROC", tmp_path)
    monkeypatch.setattr(host, "GROUPS", tmp_path / "groups")
    assert host.room() == 0
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:   1000 kB\n")
    (tmp_path / "self/cgroup").write_text("4:memory:/x\n0::/job/step\n")
    assert host.room() == 1_024_000
    group = tmp_path / "groups/job"
    (group / "step").mkdir(parents=True)
    for name, said in (("max", "500000\n"), ("current", "300000\n"), ("stat", "anon 7\ninactive_file 50000\n")):
        (group / f"memory.{name}").write_text(said)
    (group / "step/memory.max").write_text("max\n")
    assert host.room() == 250_000
