"""One process at a time in a folder, and who it is: `.lock` is held by the system, `.holder` says by whom.

Who only wants to know reads `.holder` and asks for no lock, so that looking never makes anybody wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from croco.artifacts import processes
from croco.errors import UserError

HOLDER = ".holder"


@contextmanager
def held(folder: Path, name: str = ".lock", waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a folder, which is made; `waiting` is called once when another process holds it.

    Raises:
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
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise in_the_way(file, error) from None
    try:
        with suppress(OSError):  # a full disk is told by those whose rows it takes
            (folder / HOLDER).write_text(processes.name(), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def in_the_way(file: Path, error: BaseException) -> UserError:
    """The refusal of a place that cannot be written, with the part of its path that is the cause."""
    for part in (file, *file.parents):
        if part.is_symlink() and not part.exists():
            return UserError(f"{part}: a link to what is not there; remove it, and the same command goes on")
        if part == file and part.is_dir():
            return UserError(f"{part}: a folder, where a file is meant; remove it, and the same command goes on")
        if (part != file or isinstance(error, FileExistsError)) and part.exists() and not part.is_dir():
            return UserError(f"{part}: a file, where a folder is meant; remove it, and the same command goes on")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UserError(f"{file}: cannot be written ({reason}); mend that, or choose another paths.artifacts")


def holder(folder: Path) -> bool | None:
    """Whether the process that last held a folder still does; None where it is on another machine, so that nobody can tell."""
    try:
        named = (folder / HOLDER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return processes.there(named)
