"""Work that the device has no memory for, in halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from croco.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def in_halves(work: Callable[[Sequence[T]], list[R]], batch: Sequence[T], too_much: str) -> list[R]:
    """What `work` gives for a batch, one result per item; where it is out of memory, for its halves.

    Raises:
        UserError: `too_much`, when there is no memory for one item.
    """
    try:
        return work(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise UserError(too_much) from None
    # Behind the handler, whose traceback would hold on to the batch's tensors.
    torch.cuda.empty_cache()
    half = len(batch) // 2
    return in_halves(work, batch[:half], too_much) + in_halves(work, batch[half:], too_much)
