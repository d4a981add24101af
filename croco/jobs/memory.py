"""What a piece of work takes of memory: the highest mark while it runs, of this process and of its device."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path
from typing import Any

from croco.models import devices

PROCESS = Path("/proc/self")
FORGET_PEAK = "5"  # what Linux takes in clear_refs for: forget the highest resident size


def begin() -> None:
    """Start the marks anew. Where the system cannot (no Linux), the process's mark stays that since its start."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text(FORGET_PEAK)
    devices.of_children.clear()
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()


def peaks() -> dict[str, int]:
    """Bytes since `begin`: `host_peak`, resident in this process (an engine's own processes are not in it), and with a GPU
    `device_peak`, allocated by torch on the current device, or by the process of a training or an engine that held most of its
    own (of vLLM's engine, all that its device held)."""
    cuda = _cuda()
    device = [*devices.of_children, *([] if cuda is None else [cuda.max_memory_allocated()])]
    return {"host_peak": _resident()} | ({"device_peak": max(device)} if device else {})


def _resident() -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (PROCESS / "status").read_text())
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cuda() -> Any:
    """torch.cuda when something has used it; asking must not be what loads it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
