"""Units of work that processes on machines with one file system share without asking one another.

    <folder>/<worker>.beat       touched again and again by a worker that is there; gone when it has left
    <folder>/<unit>.<attempt>    a symbolic link that names the worker: of several that try to make it, one does
    <folder>/<unit>.done         the unit's rows are on the disk

A link is made with what it says or not at all, on network file systems too, and no link is ever taken away, so nothing can
happen between looking and taking: who takes up a lost worker's unit makes its next attempt. A worker is lost when its process
is gone, seen from its own machine, or when its beat stood still for a lease, by the clock of who looks; clocks need not agree.
A worker that was taken for lost and is not does some work twice, and nothing wrong: rows are the same whoever makes them.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from croco.artifacts import processes

BEATS_PER_LEASE = 6


class Claims:
    """One worker's view of a folder of claims.

    `cut` names how the work was cut: claims of another cut are of other units.
    """

    def __init__(self, folder: Path, cut: str, units: int, lease: float) -> None:
        self.folder, self.cut, self.units, self.lease = folder, cut, units, lease
        self.worker = processes.name()
        self._seen: dict[str, tuple[int, float]] = {}  # beats of other machines: what they showed, and since when
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    def join(self) -> None:
        """Be there, until `leave`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._beat_of(self.worker).touch()
        self._left.clear()
        self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Be gone; what was taken and not finished is free at once."""
        if self._thread is not None:
            self._left.set()
            self._thread.join()
            self._thread = None
            self._beat_of(self.worker).unlink(missing_ok=True)

    def others(self) -> set[str]:
        """The workers that are there besides this one, as far as can be told."""
        beats = {path.name.removesuffix(".beat") for path in self.folder.glob("*.beat")}
        return {worker for worker in beats - {self.worker} if not self._lost(worker)}

    def clear(self) -> None:
        """Forget everything that was taken or finished; for who is alone."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self._beat_of(self.worker):
                path.unlink(missing_ok=True)

    def take(self) -> tuple[int, list[str]] | None:
        """A unit that nobody is at, now this worker's, and the lost workers that had it before; None when there is none."""
        attempts, done = self._look()
        for unit in range(self.units):
            if unit not in attempts and unit not in done and self._take(unit, 0):
                return unit, []
        for unit in sorted(set(attempts) - done):
            had = [self._owner(unit, attempt) for attempt in range(attempts[unit] + 1)]
            if had[-1] == self.worker or not self._lost(had[-1]):
                continue
            # It may have finished the unit since we looked, and left.
            if not self._done_of(unit).is_symlink() and self._take(unit, len(had)):
                return unit, list(dict.fromkeys(had))
        return None

    def finish(self, unit: int) -> None:
        """All rows of a unit are on the disk."""
        with suppress(FileExistsError, FileNotFoundError):  # done twice; or all is sealed, and the claims are gone
            self._done_of(unit).symlink_to(self.worker)

    def finished(self) -> int:
        """How many units are."""
        return len(self._look()[1])

    def _look(self) -> tuple[dict[int, int], set[int]]:
        """(last attempt of each unit that was ever taken, units that are done)."""
        attempts: dict[int, int] = {}
        done: set[int] = set()
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return attempts, done
        for name in names:
            head, _, last = name.rpartition(".")
            if last == "beat" or not head.startswith(f"{self.cut}-"):
                continue
            number = head.removeprefix(f"{self.cut}-")
            if not number.isdecimal() or not (last == "done" or last.isdecimal()):  # nobody here gives such names
                continue
            unit = int(number)
            if last == "done":
                done.add(unit)
            else:
                attempts[unit] = max(attempts.get(unit, 0), int(last))
        return attempts, done

    def _take(self, unit: int, attempt: int) -> bool:
        try:
            (self.folder / f"{self.cut}-{unit}.{attempt}").symlink_to(self.worker)
        except (FileExistsError, FileNotFoundError):  # another was faster; or all is sealed, and the claims are gone
            return False
        return True

    def _owner(self, unit: int, attempt: int) -> str:
        try:
            return os.readlink(self.folder / f"{self.cut}-{unit}.{attempt}")
        except OSError as error:
            if error.errno == errno.EINVAL:  # a file in the place of the link: nobody's
                return ""
            return self.worker  # all is sealed, and the claims are gone: not to be taken

    def _lost(self, worker: str) -> bool:
        try:
            shown = self._beat_of(worker).stat().st_mtime_ns
        except FileNotFoundError:
            return True
        if (there := processes.there(worker)) is not None:
            return not there
        before, since = self._seen.get(worker, (None, 0.0))
        if before != shown:
            self._seen[worker] = (shown, time.monotonic())
            return False
        return time.monotonic() - since > self.lease

    def _done_of(self, unit: int) -> Path:
        return self.folder / f"{self.cut}-{unit}.done"

    def _beat_of(self, worker: str) -> Path:
        return self.folder / f"{worker}.beat"

    def _beat(self) -> None:
        while not self._left.wait(self.lease / BEATS_PER_LEASE):
            with suppress(
                OSError
            ):  # a file system that is away for a moment; or all is sealed, and the claims are gone
                os.utime(self._beat_of(self.worker))


def at_work(folder: Path, lease: float) -> bool:
    """Whether a worker is there; one that cannot be seen from here, whether its last beat was within a lease of now."""
    for path in folder.glob("*.beat"):
        there = processes.there(path.name.removesuffix(".beat"))
        with suppress(OSError):  # it has left since
            if there or (there is None and recent(path, lease)):
                return True
    return False


def recent(path: Path, seconds: float) -> bool:
    """Whether a file was written within so many seconds of now: a clock that was put back does not make it so for hours."""
    return abs(time.time() - path.stat().st_mtime) < seconds
