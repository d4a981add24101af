"""Which steps of training leave their adapter, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence

from croco.errors import UserError


def steps(wanted: int | Sequence[int] | None, total: int) -> list[int]:
    """The optimiser steps between the first and the last at which the policy is measured, beside these two.

    Args:
        wanted: how many equal parts training is cut into, or the steps themselves; None is none.
        total: steps of the whole training.

    Raises:
        UserError: training has no such step.
    """
    if wanted is None:
        return []
    if isinstance(wanted, int):
        found = {round(part * total / wanted) for part in range(1, wanted)}
    else:
        found = set(wanted)
        if max(found, default=0) > total:
            raise UserError(f"evals.checkpoints: there is no step {max(found)}; training has {total} steps")
    return sorted(found - {0, total})


def folder(step: int) -> str:
    """Where training keeps the adapter of a step, below its own folder."""
    return f"steps/step-{step}"
