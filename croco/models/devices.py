"""The device: how it is given back, and what torch is told of it once."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace

from croco.config import Config
from croco.errors import UserError

log = logging.getLogger(__name__)

of_children: list[int] = []
"""The highest peak in bytes of processes that this one has started, as they told it, or none; whoever reads it empties it."""


AUTO = "auto"
FAKE = "CROCO_FAKE_DEVICES"  # of tests: so many devices are visible, whatever the machine has
VISIBLE = "CUDA_VISIBLE_DEVICES"
mine = 0
"""Of the visible devices, the one that this process has: see `take`."""


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none on a CPU."""
    if (fake := os.environ.get(FAKE)) is not None:
        return [str(number) for number in range(int(fake))]
    import torch

    if not torch.cuda.is_available():
        return []
    names = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return names[:count] if names else [str(number) for number in range(count)]


def places(asked: int | str, parts: int = 1) -> list[Mapping[str, str]]:
    """The environment of each of several engines: which `parts` GPUs it sees. One with no word on it where one engine is all.

    Args:
        asked: `engine.devices`.

    Raises:
        UserError: more are asked for than are visible.
    """
    if asked == 1:
        return [{}]
    names = visible()
    count = (len(names) or 1) if asked == AUTO else int(asked)
    if names and count > len(names):
        raise UserError(f"engine.devices={count}: {len(names)} GPUs are visible; lower it, or set it to auto")
    engines = max(1, count // parts)
    if engines == 1:
        return [{}]
    return [
        {VISIBLE: ",".join(names[first * parts : (first + 1) * parts])} if names else {} for first in range(engines)
    ]


def placed(config: Config) -> Config:
    """The configuration with the number of processes of its training, and what joins them, in the place of `auto`."""
    trainer, count = config.trainer, config.trainer.devices
    if count == AUTO:
        there = len(visible()) if trainer.accelerator == "gpu" or FAKE in os.environ else 1
        count = max(1, there) if config.method.refresh_every is None else 1
    alone = int(count) * trainer.num_nodes == 1
    strategy = "auto" if alone else "ddp" if trainer.strategy == AUTO else trainer.strategy
    return replace(config, trainer=replace(trainer, devices=int(count), strategy=strategy))


def take(number: int) -> None:
    """Let this process have one of the visible devices, before it builds or loads anything: all that it loads goes there."""
    global mine
    mine = number
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(number)


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


def child_held(peak: int) -> None:
    """A process that this one has started tells its peak; 0 of one that has no device."""
    if peak:
        of_children[:] = [max(peak, *of_children)] if of_children else [peak]


def count_anew() -> None:
    """Let `peak` tell what is held from now on."""
    if _there():
        import torch

        torch.cuda.reset_peak_memory_stats()


def taken() -> int:
    """Bytes of the device that anybody holds, as its driver says; 0 where it cannot be asked."""
    if not _there():
        return 0
    import torch

    try:
        return int(torch.cuda.device_memory_used())
    except (ImportError, RuntimeError):  # the driver's library is not there, or says no
        return 0


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
