"""The memory of this machine."""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")


def room() -> int:
    """Bytes that this process can still take: what is available, within the limits of its control groups (version 2; a job of
    SLURM has one). 0 where the system does not tell."""
    try:
        available = _number(PROC / "meminfo", "MemAvailable:") * 1024
        own = re.search(r"^0::/(.*)$", (PROC / "self/cgroup").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return 0
    group = GROUPS / own[1] if own else GROUPS
    while group != GROUPS and GROUPS in group.parents:
        available = min(available, _left(group, available))
        group = group.parent
    return max(0, available)


def _left(group: Path, available: int) -> int:
    """Of a group's limit, where it has one; files that the system keeps in memory give way."""
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return available if limit == "max" else int(limit) - int(used) + _number(group / "memory.stat", "inactive_file")
    except (OSError, ValueError):
        return available


def _number(file: Path, name: str) -> int:
    found = re.search(rf"^{name}\s+(\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return int(found[1])
