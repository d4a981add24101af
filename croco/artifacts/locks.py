"""One process at a time in a folder, and who it is: `.lock` is held by the system, `.holder` says by whom.

Who only wants to know reads `.holder` and asks for no lock, so that looking never makes anybody wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from croco.artifacts import processes, refusals

HOLDER = ".holder"


@contextmanager
def held(
    folder: Path, name: str = ".lock", waiting: Callable[[], None] = lambda: None, patience: float = -1
) -> Iterator[None]:
    """Hold a folder, which is made; `waiting` is called once when another process holds it.

    Args:
        patience: seconds to wait for it, at most; below 0 without end.

    Raises:
        TimeoutError: they have passed.
        UserError: something else lies in the place of the folder or of the lock, or it may not be written; names it.
    """
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(file)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            waiting()
            lock.acquire(timeout=patience)
    except filelock.Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        raise refusals.in_the_way(file, error) from None
    try:
        with suppress(OSError):  # a full disk is told by those whose rows it takes
            (folder / HOLDER).write_text(processes.name(), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder(folder: Path) -> bool | None:
    """Whether the process that last held a folder still does; None where it is on another machine, so that nobody can tell."""
    try:
        named = (folder / HOLDER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return processes.there(named)
