"""Peak memory of a piece of work."""

from __future__ import annotations

import numpy as np

from croco.jobs import memory

MIB = 2**20


def test_the_mark_is_of_the_work_alone() -> None:
    """An array of 200 MiB that is let go before the second piece of work is in the first mark, and not in the second."""
    memory.begin()
    np.ones(200 * MIB, dtype=np.uint8)
    first = memory.peaks()["host_peak"]
    memory.begin()
    assert first - memory.peaks()["host_peak"] > 150 * MIB


def test_where_the_system_tells_nothing_the_process_is_asked(monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "none")
    memory.begin()
    assert memory.peaks()["host_peak"] > MIB
