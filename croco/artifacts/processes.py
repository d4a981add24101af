"""Processes: who this one is among all that ever were, whether another is there, and children that end with their parent."""

from __future__ import annotations

import ctypes
import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

NO_START = "0"  # where the system does not tell when a process started
PR_SET_PDEATHSIG = 1


def name() -> str:
    """Of this process, among all that ever were."""
    pid = os.getpid()
    return f"{socket.gethostname()}-{pid}-{start_of(pid)}-{machine()}"


def machine() -> str:
    """Equal for processes that see one another by their pid: same host, since the same boot, in the same container."""
    said = [socket.gethostname()]
    with suppress(OSError):
        said += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:8]


def start_of(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None when it is gone."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except (PermissionError, OverflowError):
            pass
        return NO_START
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def there(named: str) -> bool | None:
    """Whether the process of a `name` is; None where that cannot be told: another machine's, or no name."""
    parts = named.rsplit("-", 3)
    if len(parts) != 4 or not parts[1].isdigit() or parts[3] != machine():
        return None
    return start_of(int(parts[1])) == parts[2]


OUTLIVE = (b"resource_tracker", b"wandb-core", b"sweep_behind")
"""Of whom this process has started, those that clean or write up behind it, and then end by themselves."""


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have; none where the system does not tell (Linux does)."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found


def end_descendants() -> None:
    """Kill what this process has started, and all below it."""
    for pid in descendants(os.getpid()):
        _kill(pid)


def _kill(pid: int) -> None:
    with suppress(OSError):
        said = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not any(name in said for name in OUTLIVE):
            os.kill(pid, signal.SIGKILL)


def watch_over() -> None:
    """Have all that this process has started killed when it has ended, also by SIGKILL: servers that others start for it may not
    look at their parent. What watches is a process of a session of its own, and ends with its work."""
    code = f"from croco.artifacts import processes; processes.sweep_behind({os.getpid()})"
    # Its end of the pipe closes with this process.
    subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True)


def sweep_behind(parent: int, seconds: float = 1.0) -> None:
    """Look at what `parent` has started until standard input is closed, then kill what is left of it."""
    known: dict[int, str | None] = {}
    while not select.select([0], [], [], seconds)[0]:
        known |= {pid: start_of(pid) for pid in descendants(parent)}
    for pid, start in known.items():
        if pid != os.getpid() and start is not None and start_of(pid) == start:
            _kill(pid)


def end_with_parent(parent: int | None = None) -> None:
    """Have this process told to end (SIGTERM) when its parent ends, also by SIGKILL; where the system can do that (Linux).

    Args:
        parent: whose child this process should be; it ends at once when that one has gone already.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
