"""Which answers of a pool become chosen and rejected (equation 2 of the paper, and the reward points of Xiao et al. 2025).

A pool is the scored answers to one prompt. Both sides take the answer nearest to a reward point: mu + k sigma with k in
{inf, 2, 1, 0, -1, -2, -inf}, or a quantile. The rejected answer lies strictly below the chosen one. mu and sigma are those of
the whole pool, the chosen answer included, sigma with ddof 0. Among equals the first in pool order wins.

All rows of all pools are handled at once, in blocks of whole pools, so that memory beyond the inputs is small.

Departures from the paper's code:
1. Pool order is language (alphabetical), then sample; the paper's is the order in which files were listed. It decides ties only.
2. A missing or non-finite score leaves the pool; the paper's code gives it -999, which enters mu and sigma.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 1 << 18

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.integer]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """What is chosen, what is rejected, and which pairs are let through."""

    chosen: float = np.inf
    rejected: float = -2.0
    points: str = "sigma"
    """`sigma`: the two are k of mu + k sigma; `quantile`: they are levels in [0, 1] (linear interpolation)."""
    relation: str = "any"
    """Language of the rejected answer: `any`, `cross` (another than the chosen's) or `same`."""
    length_ratio: float | None = None
    """Longer over shorter of the two lengths is at most this."""
    min_margin: float | None = None
    max_margin: float | None = None
    per_pool: int = 1
    """Pairs a pool may give; an answer is in one of them at most, mu and sigma stay those of the whole pool."""


@dataclass(frozen=True)
class Selection:
    """P pairs; arrays of shape (P,), in the order of the pools."""

    chosen: Ints
    """Row of the chosen answer."""
    rejected: Ints
    pool_size: Ints
    pool_min: Floats
    pool_mean: Floats
    pool_std: Floats
    refused: dict[str, int]
    """Pools that gave no pair, by reason."""


@dataclass(frozen=True)
class Block:
    """Whole pools, one after the other; R rows, S pools."""

    values: Floats  # (R,)
    starts: Ints  # (S,) first row of each pool
    pool: Ints  # (R,) pool of each row, from 0
    size: Ints  # (S,)

    @staticmethod
    def of(values: Floats, pools: Codes) -> Block:
        starts = _starts(pools)
        size = np.diff(np.append(starts, len(pools)))
        return Block(values, starts, np.repeat(np.arange(len(starts)), size), size)

    def mean(self) -> Floats:
        # Around each pool's first value: the sum of many large rewards would lose the digits that tell them apart.
        first = self.values[self.starts]
        return first + np.add.reduceat(self.values - first[self.pool], self.starts) / self.size

    def std(self, mean: Floats) -> Floats:
        deviation = self.values - mean[self.pool]
        return np.sqrt(np.add.reduceat(deviation * deviation, self.starts) / self.size)

    def quantile(self, level: float) -> Floats:
        """As `numpy.quantile` of each pool, to the last bit: from the nearer of the two order statistics."""
        ordered = self.values[np.lexsort((self.values, self.pool))]
        position = level * (self.size - 1)
        below = np.floor(position).astype(np.int64)
        above = np.minimum(below + 1, self.size - 1)
        low, high = ordered[self.starts + below], ordered[self.starts + above]
        part, gap = position - below, high - low
        return np.where(part >= 0.5, high - gap * (1 - part), low + gap * part)

    def first_nearest(self, point: Floats, allowed: Mask) -> Ints:
        """(S,) first allowed row nearest to the pool's point, which may be +-inf; -1 where none is allowed."""
        distance = np.abs(self.values - point[self.pool])
        infinite = np.isinf(point)[self.pool]
        distance[infinite] = (-np.sign(point)[self.pool] * self.values)[infinite]
        distance[~allowed] = np.inf
        least = np.minimum.reduceat(distance, self.starts)
        hits = np.flatnonzero((distance == least[self.pool]) & allowed)
        rows = np.full(len(self.starts), -1, dtype=np.int64)
        rows[self.pool[hits][::-1]] = hits[::-1]  # the last write wins, and that is the first hit
        return rows


def _starts(pools: Codes) -> Ints:
    return np.flatnonzero(np.append(True, pools[1:] != pools[:-1])) if len(pools) else np.empty(0, np.int64)


def _blocks(pools: Codes) -> Iterator[slice]:
    """Slices of whole pools, about BLOCK_ROWS rows each."""
    starts = _starts(pools)
    begin = 0
    while begin < len(pools):
        after = int(np.searchsorted(starts, begin + BLOCK_ROWS))
        end = int(starts[after]) if after < len(starts) else len(pools)
        yield slice(begin, end)
        begin = end


def select(
    values: Floats,
    pools: Codes,
    rule: Rule,
    language: Codes | None = None,
    tokens: Codes | None = None,
    eligible: Mask | None = None,
) -> Selection:
    """Pairs of all pools.

    Args:
        values: (N,) rewards, all finite.
        pools: (N,) pool of each row; rows of a pool lie together, in pool order.
        language: (N,) needed by `rule.relation` other than `any`.
        tokens: (N,) answer lengths, needed by `rule.length_ratio`.
        eligible: (N,) answers that may be chosen; all by default. The others may be rejected, and are in mu and sigma.

    Raises:
        ValueError: a value is not finite, or a column the rule needs is missing.
    """
    if not np.isfinite(values).all():
        raise ValueError("rewards must be finite: leave failed scores out before selecting")
    if (rule.relation != "any" and language is None) or (rule.length_ratio is not None and tokens is None):
        raise ValueError("the rule needs the languages or the lengths of the answers")
    refused: Counter[str] = Counter()
    parts = []
    for block in _blocks(pools):
        part = _select_block(
            Block.of(values[block], pools[block]),
            rule,
            None if language is None else language[block],
            None if tokens is None else tokens[block],
            None if eligible is None else eligible[block],
            refused,
        )
        parts.append((part[0] + block.start, part[1] + block.start, *part[2:]))
    names = ("chosen", "rejected", "pool_size", "pool_min", "pool_mean", "pool_std")
    columns = {name: np.concatenate([part[i] for part in parts] or [np.empty(0, int)]) for i, name in enumerate(names)}
    return Selection(**columns, refused=dict(refused))


def best(values: Floats, pools: Codes, rule: Rule, eligible: Mask | None = None) -> Ints:
    """(pools,) row that a pool's first pair would choose, whether or not anything can be rejected; -1 where none may be.

    Args as of `select`.
    """
    found = [np.empty(0, np.int64)]
    for rows in _blocks(pools):
        block = Block.of(values[rows], pools[rows])
        mean = block.mean()
        point = np.full_like(mean, np.inf) if rule.points == "every" else _points(block, rule, mean, block.std(mean))[0]
        allowed = np.ones(len(block.values), bool) if eligible is None else eligible[rows]
        first = block.first_nearest(point, allowed)
        found.append(np.where(first < 0, -1, first + rows.start))
    return np.concatenate(found)


def every_pair(values: Floats, pools: Codes, most: int, seed: int, eligible: Mask | None = None) -> Selection:
    """All ordered pairs of every pool, the higher value over the lower (She et al. 2024, MAPO); equal values make none.

    Args:
        values: (N,) rewards, all finite.
        pools: (N,) pool of each row; rows of a pool lie together.
        most: pairs a pool may give; of more, so many are drawn without replacement, by seed and number of the pool.
        eligible: (N,) answers that may be chosen; all by default.
    """
    if not np.isfinite(values).all():
        raise ValueError("rewards must be finite: leave failed scores out before selecting")
    refused: Counter[str] = Counter({"pool too small": 0, "no lower answer": 0})
    block = Block.of(values, pools)
    mean = block.mean() if len(values) else values
    std = block.std(mean) if len(values) else values
    lowest = np.minimum.reduceat(values, block.starts) if len(values) else values
    chosen, rejected, pool = [], [], []
    for number, (start, size) in enumerate(zip(block.starts.tolist(), block.size.tolist(), strict=True)):
        own = values[start : start + size]
        higher = own[:, None] > own[None]
        better, worse = np.nonzero(higher if eligible is None else higher & eligible[start : start + size, None])
        if len(better) == 0:
            refused["pool too small" if size < 2 else "no lower answer"] += 1
        elif len(better) > most:
            kept = np.sort(np.random.default_rng([seed, number]).choice(len(better), most, replace=False))
            better, worse = better[kept], worse[kept]
        chosen.append(start + better)
        rejected.append(start + worse)
        pool.append(np.full(len(better), number))
    nothing = [np.empty(0, np.int64)]
    which = np.concatenate(pool or nothing)
    return Selection(
        np.concatenate(chosen or nothing),
        np.concatenate(rejected or nothing),
        block.size[which],
        lowest[which],
        mean[which],
        std[which],
        refused=dict(refused),
    )


def _points(block: Block, rule: Rule, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
    if rule.points == "quantile":
        return block.quantile(rule.chosen), block.quantile(rule.rejected)
    chosen, rejected = (np.full_like(mean, k) if np.isinf(k) else mean + k * std for k in (rule.chosen, rule.rejected))
    return chosen, rejected


def _select_block(
    block: Block,
    rule: Rule,
    language: Codes | None,
    tokens: Codes | None,
    eligible: Mask | None,
    refused: Counter[str],
) -> tuple[NDArray, ...]:
    mean = block.mean()
    std = block.std(mean)
    lowest = np.minimum.reduceat(block.values, block.starts)
    chosen_point, rejected_point = _points(block, rule, mean, std)
    free = np.ones(len(block.values), dtype=bool)
    found: list[tuple[Ints, Ints, Ints]] = []
    for turn in range(rule.per_pool):
        counted: Counter[str] = refused if turn == 0 else Counter()
        first = block.first_nearest(chosen_point, free if eligible is None else free & eligible)
        pool, chosen, rejected = _one_pair_each(block, rule, first, rejected_point, free, language, tokens, counted)
        found.append((pool, chosen, rejected))
        free[chosen] = free[rejected] = False
    pool, chosen, rejected = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(pool, kind="stable")
    pool, chosen, rejected = pool[order], chosen[order], rejected[order]
    return chosen, rejected, block.size[pool], lowest[pool], mean[pool], std[pool]


def _one_pair_each(
    block: Block,
    rule: Rule,
    best: Ints,
    rejected_point: Floats,
    free: Mask,
    language: Codes | None,
    tokens: Codes | None,
    refused: Counter[str],
) -> tuple[Ints, Ints, Ints]:
    """(pool, chosen row, rejected row) of every pool that has a pair; `best` is its chosen row, -1 where it has none."""
    there = best >= 0
    of_row = best[block.pool]  # (R,) the chosen row of each row's pool
    allowed = free & (block.values < block.values[of_row]) & there[block.pool]
    stages = [("no lower answer", allowed)]
    if rule.relation != "any":
        assert language is not None
        same = language == language[of_row]
        allowed = allowed & (same if rule.relation == "same" else ~same)
        stages.append(("no lower answer in the language wanted", allowed))
    if rule.length_ratio is not None:
        assert tokens is not None
        a, b = np.maximum(tokens, 1), np.maximum(tokens[of_row], 1)
        allowed = allowed & (np.maximum(a, b) <= rule.length_ratio * np.minimum(a, b))
        stages.append(("no lower answer of like length", allowed))
    alive = block.size >= 2
    refused["pool too small"] += int((~alive).sum())
    alive = _refuse(alive, ~there, "no answer that may be chosen", refused)
    for reason, mask in stages:
        has = np.logical_or.reduceat(mask, block.starts)
        refused[reason] += int((alive & ~has).sum())
        alive = alive & has
    worst = block.first_nearest(rejected_point, allowed)
    margin = np.where(alive, block.values[best] - block.values[worst], np.nan)
    if rule.min_margin is not None:
        alive = _refuse(alive, margin < rule.min_margin, "margin too small", refused)
    if rule.max_margin is not None:
        alive = _refuse(alive, margin > rule.max_margin, "margin too large", refused)
    return np.flatnonzero(alive), best[alive], worst[alive]


def _refuse(alive: Mask, bad: Mask, reason: str, refused: Counter[str]) -> Mask:
    refused[reason] += int((alive & bad).sum())
    return alive & ~bad
