"""What the system says of a file, as the one line that a person reads: no room, a read-only place, something in the way."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from croco.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AWAY = (errno.EROFS, errno.EIO, errno.ESTALE)
"""Of a file system as a whole, whatever lies on it."""
NO_ROOM = re.compile(
    r"os error (?:28|122|27)\b|No space left on device|File too large|Disk quota exceeded"
    r"|unexpected pos \d+ vs|failed writing file|\d+ requested and \d+ written"
)
"""As libraries say it that have exceptions of their own: safetensors, Arrow, torch, NumPy."""
PROBE = 64 * 1024  # bytes


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Within it, what the system says of the files below `root` is a UserError, whose cause is the error."""
    try:
        yield
    except Exception as error:
        refusal = of(error, root)
        if refusal is None:
            raise
        raise refusal from error


def of(error: BaseException, root: Path) -> UserError | None:
    """The refusal that an error comes to: of any file where there is no room, else of those below `root`; None of all others."""
    if isinstance(error, UserError):
        return None
    number, file = getattr(error, "errno", None), _file(error)
    if number in FULL or NO_ROOM.search(str(error)):
        return no_room(file or _without_room(root), number)
    if isinstance(error, OSError) and file is not None and file.is_relative_to(root):
        return in_the_way(file, error)
    if isinstance(error, OSError) and file is None and number in AWAY:
        return in_the_way(root, error)
    return None


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Within it, an error of the system names the file, which those of writing do not."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(file)
        raise


def no_room(file: Path, number: int | None = None) -> UserError:
    """The refusal of a place that takes nothing more."""
    reason = os.strerror(number if number in FULL else errno.ENOSPC)
    return UserError(
        f"{file}: no room to write ({reason}); what is written is kept: make room, or raise the quota, and the same "
        "command goes on"
    )


def in_the_way(file: Path, error: BaseException) -> UserError:
    """The refusal of a place that cannot be written, with the part of its path that is the cause."""
    number = getattr(error, "errno", None)
    if number in FULL:
        return no_room(file, number)
    for part in () if number in AWAY else (file, *file.parents):
        if part.is_symlink() and not part.exists():
            return UserError(f"{part}: a link to what is not there; remove it, and the same command goes on")
        if part == file and part.is_dir():
            return UserError(f"{part}: a folder, where a file is meant; remove it, and the same command goes on")
        if (part != file or isinstance(error, FileExistsError)) and part.exists() and not part.is_dir():
            return UserError(f"{part}: a file, where a folder is meant; remove it, and the same command goes on")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UserError(f"{file}: cannot be written ({reason}); mend that, or choose another paths.artifacts")


def takes(folder: Path) -> bool:
    """Whether a file of some size can be written there, which is tried; quotas count."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return file.write(b"\0" * PROBE) == PROBE
    except OSError:
        return False


def _without_room(root: Path) -> Path:
    """Of the places that are written to, the first that takes nothing."""
    temporary = Path(tempfile.gettempdir())
    return temporary if takes(root) and not takes(temporary) else root


def _file(error: BaseException) -> Path | None:
    """The one that was to be written."""
    for name in ("filename2", "filename"):
        named = getattr(error, name, None)
        if isinstance(named, str | bytes | os.PathLike):
            return Path(os.fsdecode(named))
    return None
