"""The device: how it is given back, and what torch is told of it once."""

from __future__ import annotations

import gc
import logging
import sys

log = logging.getLogger(__name__)

of_children: list[int] = []
"""Peaks in bytes of processes that this one has started, as they told them; whoever reads them empties it."""


def begin() -> None:
    """Settings that all models here share. cuDNN's attention plans anew for each length it meets, for seconds each time; torch's
    own kernels do not, and are as fast."""
    import torch

    if torch.cuda.is_available():
        torch.backends.cuda.enable_cudnn_sdp(False)


def release() -> None:
    """Give back what this process holds of the device and no longer uses.

    A device that an error has broken raises at every call: here that is left to the error, which is on its way up already.
    """
    gc.collect()
    if _there():
        _empty()


def vacate() -> None:
    """As `release`, before somebody else takes the device, be it a child of this process; nothing where there is none."""
    if _there():
        release()


def peak() -> int:
    """Bytes that torch has held at most of the device, since somebody began to count; 0 without one."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if _there() else 0


def _there() -> bool:
    """Whether there is a device that this process may have used; asking must not be what loads torch."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def _empty() -> None:
    import torch

    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:
        log.warning("the device could not be given back: %s", str(error).splitlines()[0])
