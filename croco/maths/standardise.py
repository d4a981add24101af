"""Rewards made comparable within groups before they are paired: z-scores and ranks."""

from __future__ import annotations

import numpy as np

from croco.maths.pairing import Block, Codes, Floats


def z_scores(values: Floats, groups: Codes) -> Floats:
    """(values - mean) / std within each group (ddof 0); 0 where all values of a group are equal. Shape (N,)."""
    if len(values) == 0:
        return values.copy()
    order = np.argsort(groups, kind="stable")
    block = Block.of(values[order], groups[order])
    mean = block.mean()
    std = block.std(mean)
    std[std == 0] = np.inf
    scores = np.empty_like(values)
    scores[order] = (block.values - mean[block.pool]) / std[block.pool]
    return scores


def ranks(values: Floats, groups: Codes) -> Floats:
    """Mid-rank within each group divided by the group's size, in (0, 1); equal values share their mean rank. Shape (N,)."""
    if len(values) == 0:
        return values.copy()
    order = np.lexsort((values, groups))
    sorted_values, sorted_groups = values[order], groups[order]
    new_run = np.append(True, (sorted_values[1:] != sorted_values[:-1]) | (sorted_groups[1:] != sorted_groups[:-1]))
    run_starts = np.flatnonzero(new_run)
    run_size = np.diff(np.append(run_starts, len(values)))
    block = Block.of(sorted_values, sorted_groups)
    middle = np.repeat(run_starts + run_size / 2, run_size) - block.starts[block.pool]
    scores = np.empty_like(values)
    scores[order] = middle / block.size[block.pool]
    return scores
