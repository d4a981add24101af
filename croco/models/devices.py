"""The device: how it is given back, and what torch is told of it once."""

from __future__ import annotations

import gc
import logging

log = logging.getLogger(__name__)


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
    import torch

    gc.collect()
    if not torch.cuda.is_available():
        return
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:
        log.warning("the device could not be given back: %s", str(error).splitlines()[0])
