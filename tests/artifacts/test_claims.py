"""Claims: of several workers one gets a unit, and what is lost is taken up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from croco.artifacts import claims, processes
from croco.artifacts.claims import Claims


def worker(folder: Path, name: str, units: int = 3, lease: float = 60.0) -> Claims:
    """One that has this process's pid, but another name."""
    one = Claims(folder, "cut", units, lease)
    host, rest = one.worker.split("-", 1)
    one.worker = f"{host}_{name}-{rest}"
    one.join()
    return one


def elsewhere(one: Claims) -> str:
    """Make it a worker of a machine that cannot be looked into."""
    one.leave()
    one.worker = f"far-1-1-{'0' * 8}"
    one._beat_of(one.worker).touch()
    return one.worker


def test_each_unit_goes_to_one_and_finished_ones_to_nobody(tmp_path: Path) -> None:
    a, b = worker(tmp_path, "a"), worker(tmp_path, "b")
    assert [a.take(), b.take(), a.take(), b.take(), a.take()] == [(0, []), (1, []), (2, []), None, None]
    for unit in (0, 1, 2):
        assert a.finished() == unit
        a.finish(unit)
        b.finish(unit)  # a second time changes nothing
    a.leave()
    assert b.take() is None
    assert not b.others()
    b.clear()
    assert b.take() == (0, [])
    b.leave()


def test_who_leaves_frees_its_units_at_once(tmp_path: Path) -> None:
    a, b = worker(tmp_path, "a", units=1), worker(tmp_path, "b", units=1)
    assert a.take() == (0, [])
    assert (b.take(), b.others()) == (None, {a.worker})
    a.leave()
    assert not b.others()
    assert b.take() == (0, [a.worker])
    b.leave()
    c = worker(tmp_path, "c", units=1)
    assert c.take() == (0, [a.worker, b.worker]), "all that had it may have left rows"
    c.leave()


def test_a_process_that_is_gone_is_lost_at_once_and_a_new_one_with_its_pid_is_another(tmp_path: Path) -> None:
    mine = worker(tmp_path, "mine", units=2)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    pid = int(child.pid or 0)
    start = processes.start_of(pid)
    theirs = worker(tmp_path, "theirs", units=2)
    theirs.leave()
    theirs.worker = f"host-{pid}-{start}-{processes.machine()}"
    theirs._beat_of(theirs.worker).touch()
    assert theirs.take() == (0, [])
    assert mine.take() == (1, [])
    assert mine.take() is None
    os.kill(pid, signal.SIGKILL)
    child.join()
    assert mine.take() == (0, [theirs.worker])
    mine.leave()
    reborn = f"host-{os.getpid()}-{int(processes.start_of(os.getpid()) or 0) + 1}-{processes.machine()}"
    mine._beat_of(reborn).touch()
    assert mine._lost(reborn)


def test_one_on_another_machine_is_lost_when_its_beat_stands_still_by_our_clock(tmp_path: Path) -> None:
    far, near = worker(tmp_path, "far", units=1), worker(tmp_path, "near", units=1, lease=0.3)
    name = elsewhere(far)
    os.utime(far._beat_of(name), (0, 0))  # its clock is decades behind
    assert far.take() == (0, [])
    assert near.take() is None
    for beat in (1, 2, 3):
        time.sleep(0.15)
        os.utime(far._beat_of(name), (beat, beat))
        assert near.take() is None, "it showed a sign of life"
    time.sleep(0.4)
    assert near.take() == (0, [name])
    near.leave()


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_jumps_takes_nothing_over_and_holds_nothing_for_ever(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose process is seen is there, whatever its beat's age; of one elsewhere, a beat from hours ahead is as old as one from
    hours ago. Leases run by the clock that does not jump: a beat that moves, back too, is a sign of life."""
    here, far = worker(tmp_path / "here", "a", units=1), worker(tmp_path / "far", "b", units=1)
    name, now = elsewhere(far), time.time()
    assert (here.take(), far.take()) == ((0, []), (0, []))
    other = worker(tmp_path / "far", "c", units=1, lease=60.0)
    assert (other.take(), other.others()) == (None, {name})
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    assert claims.at_work(tmp_path / "here", 60.0)
    other.leave()
    assert not claims.at_work(tmp_path / "far", 60.0)
    os.utime(tmp_path / "far" / f"{name}.beat", (now + 3600 * hours,) * 2)
    assert claims.at_work(tmp_path / "far", 60.0)
    other.join()
    assert (other.take(), other.others()) == (None, {name}), "its beat moved: it is there"
    here.leave()
    other.leave()


def test_beats_come_by_themselves(tmp_path: Path) -> None:
    one = worker(tmp_path, "one", lease=0.1)
    os.utime(one._beat_of(one.worker), (0, 0))
    time.sleep(0.2)
    assert one._beat_of(one.worker).stat().st_mtime > 0
    assert claims.at_work(tmp_path, 60.0)
    one.leave()
    assert not claims.at_work(tmp_path, 60.0)


def _take_all(folder: Path, out: Path) -> None:
    one = Claims(folder, "cut", 200, 60.0)
    one.join()
    with out.open("w") as file:
        while (taken := one.take()) is not None:
            file.write(f"{taken[0]}\n")
            one.finish(taken[0])
    one.leave()


def test_four_processes_at_once_take_each_unit_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    outs = [tmp_path / f"{i}.txt" for i in range(4)]
    processes = [context.Process(target=_take_all, args=(tmp_path / "claims", out)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    units = [int(line) for out in outs for line in out.read_text().split()]
    assert sorted(units) == list(range(200))


@pytest.mark.parametrize("method", ["take", "finish"])
def test_claims_that_are_gone_are_no_error(tmp_path: Path, method: str) -> None:
    """Another has sealed the artifact meanwhile."""
    one = worker(tmp_path / "claims", "a")
    for path in one.folder.iterdir():
        path.unlink()
    one.folder.rmdir()
    assert (one.take() if method == "take" else one.finish(0)) is None
    one.leave()
