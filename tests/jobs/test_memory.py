"""Peak memory of a piece of work."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from croco.jobs import memory
from croco.models import devices

MIB = 2**20


def test_the_mark_is_of_the_work_alone() -> None:
    """An array of 200 MiB that is let go before the second piece of work is in the first mark, and not in the second."""
    memory.begin()
    np.ones(200 * MIB, dtype=np.uint8)
    first = memory.peaks()["host_peak"]
    memory.begin()
    assert first - memory.peaks()["host_peak"] > 150 * MIB


def test_a_training_in_processes_of_its_own_is_in_the_mark(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Of this process on its device and of the processes it started, whichever held most; without a device no mark."""
    memory.begin()
    assert "device_peak" not in memory.peaks()
    devices.child_held(5)
    devices.child_held(0)
    devices.child_held(3)
    assert memory.peaks()["device_peak"] == 5
    monkeypatch.setattr(memory, "_cuda", lambda: SimpleNamespace(max_memory_allocated=lambda: 7))
    assert memory.peaks()["device_peak"] == 7
    monkeypatch.undo()
    memory.begin()
    assert "device_peak" not in memory.peaks()


def test_where_the_system_tells_nothing_the_process_is_asked(monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "none")
    memory.begin()
    assert memory.peaks()["host_peak"] > MIB
