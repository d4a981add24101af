"""Halves until there is room, in order; one item that does not fit is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from croco.engines.halving import in_halves
from croco.errors import UserError


@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_results_keep_their_order_whatever_the_room(room: int) -> None:
    sizes = []

    def work(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > room:
            raise torch.OutOfMemoryError
        return [10 * item for item in batch]

    assert in_halves(work, range(7), "too much") == [0, 10, 20, 30, 40, 50, 60]
    assert sum(size for size in sizes if size <= room) == 7


def test_one_item_too_large_is_told_and_other_failures_pass() -> None:
    def work(_: Sequence[int], failure: Exception) -> list[int]:
        raise failure

    with pytest.raises(UserError, match=r"^lower it$"):
        in_halves(lambda batch: work(batch, torch.OutOfMemoryError()), [1, 2], "lower it")
    with pytest.raises(ValueError, match="other"):
        in_halves(lambda batch: work(batch, ValueError("other")), [1, 2], "lower it")
