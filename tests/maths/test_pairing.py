"""The selection rule against its definition, point by point, and what must not change it."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from croco.maths import pairing, standardise
from croco.maths.pairing import Rule, select

POINTS = (math.inf, 2.0, 1.0, 0.0, -1.0, -2.0, -math.inf)
ORDERED = list(itertools.combinations(POINTS, 2))


def by_definition(rewards: list[float], rule: Rule) -> tuple[int, int] | None:
    """(chosen, rejected) of one pool, word by word: nearest to mu + k sigma, the rejected strictly below the chosen."""
    mean, std = statistics.fmean(rewards), statistics.pstdev(rewards)

    def distance(reward: float, k: float) -> float:
        if math.isinf(k):
            return -k * reward if abs(reward) > 0 else 0.0
        return abs(reward - (mean + k * std))

    def key(k: float):
        # For k = +-inf the nearest is the largest or the smallest.
        return (
            (lambda i: -rewards[i])
            if k == math.inf
            else (lambda i: rewards[i])
            if k == -math.inf
            else (lambda i: distance(rewards[i], k))
        )

    chosen = min(range(len(rewards)), key=key(rule.chosen))
    lower = [i for i in range(len(rewards)) if rewards[i] < rewards[chosen]]
    return (chosen, min(lower, key=key(rule.rejected))) if lower else None


def pairs_of(pools: list[list[float]], rule: Rule) -> list[tuple[int, int] | None]:
    """Per pool, positions within the pool."""
    sizes = [len(pool) for pool in pools]
    starts = np.cumsum([0, *sizes])
    found = select(np.concatenate([np.asarray(p, float) for p in pools]), np.repeat(np.arange(len(pools)), sizes), rule)
    result: list[tuple[int, int] | None] = [None] * len(pools)
    for chosen, rejected in zip(found.chosen, found.rejected, strict=True):
        pool = int(np.searchsorted(starts, chosen, side="right")) - 1
        result[pool] = (int(chosen - starts[pool]), int(rejected - starts[pool]))
    assert sum(found.refused.values()) == result.count(None)
    return result


@pytest.mark.parametrize(("chosen", "rejected"), ORDERED)
def test_every_ordered_pair_of_the_seven_points_is_as_defined(chosen: float, rejected: float) -> None:
    rng = np.random.default_rng(0)
    pools = [rng.normal(rng.normal(), rng.gamma(2), size).tolist() for size in rng.integers(1, 80, 60)]
    rule = Rule(chosen, rejected)
    assert pairs_of(pools, rule) == [by_definition(pool, rule) for pool in pools]


def test_a_pool_made_by_hand() -> None:
    """Rewards 0, 1, 2, 3, 14: mu = 4, sigma^2 = (16+9+4+1+100)/5 = 26, mu - 1 sigma = -1.099, mu - 0 sigma = 4.

    Chosen is 14 (row 4); rejected at k = -1 is 0 (row 0), at k = 0 is 3 (row 3), at k = +1 (9.099) is 3, since 14 is not below.
    """
    pool = [0.0, 1.0, 2.0, 3.0, 14.0]
    assert pairs_of([pool], Rule(math.inf, -1.0)) == [(4, 0)]
    assert pairs_of([pool], Rule(math.inf, 0.0)) == [(4, 3)]
    assert pairs_of([pool], Rule(math.inf, 1.0)) == [(4, 3)]
    found = select(np.array(pool), np.zeros(5, int), Rule())
    assert (found.pool_size[0], found.pool_min[0], found.pool_mean[0]) == (5, 0.0, 4.0)
    assert found.pool_std[0] == pytest.approx(math.sqrt(26))


def test_the_first_of_equals_wins_on_both_sides() -> None:
    """Rewards 1, 3, 0, 3, 0, 1: the first 3 is chosen; the minimum is met first at row 2."""
    assert pairs_of([[1.0, 3.0, 0.0, 3.0, 0.0, 1.0]], Rule(math.inf, -math.inf)) == [(1, 2)]


def test_quantiles_are_numpys() -> None:
    """0..10: the 0.5 quantile is 5, the 0.25 quantile 2.5 lies between 2 and 3, and the first of the two wins."""
    pool = [float(i) for i in range(11)]
    assert pairs_of([pool], Rule(0.5, 0.25, "quantile")) == [(5, 2)]
    rng = np.random.default_rng(1)
    pool = rng.normal(size=37).tolist()
    (pair,) = pairs_of([pool], Rule(0.9, 0.1, "quantile"))
    assert pair is not None
    for row, level in zip(pair, (0.9, 0.1), strict=True):
        assert row == int(np.abs(np.array(pool) - np.quantile(pool, level)).argmin())


def test_reasons_are_counted_once_per_pool() -> None:
    """One answer; three equal answers; lower answer only in the same language; too different in length; margins 1 and 100."""
    pools = np.repeat(np.arange(6), [1, 3, 2, 2, 2, 2])
    values = np.array([1, 2, 2, 2, 1, 0, 1, 0, 1, 0, 100, 0], float)
    language = np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1])
    tokens = np.array([5, 5, 5, 5, 5, 5, 100, 10, 5, 5, 5, 5])
    rule = Rule(relation="cross", length_ratio=2.0, min_margin=2.0, max_margin=50.0)
    found = select(values, pools, rule, language, tokens)
    assert found.refused == {
        "pool too small": 1,
        "no answer that may be chosen": 0,
        "no lower answer": 1,
        "no lower answer in the language wanted": 1,
        "no lower answer of like length": 1,
        "margin too small": 1,
        "margin too large": 1,
    }
    assert len(found.chosen) == 0


def test_relations_and_lengths_narrow_the_rejected_side_only() -> None:
    values = np.array([5.0, 0.0, 1.0, 4.0])
    pools, language, tokens = np.zeros(4, int), np.array([0, 0, 1, 1]), np.array([10, 30, 30, 11])
    for rule, rejected in (
        (Rule(rejected=-math.inf), 1),
        (Rule(rejected=-math.inf, relation="cross"), 2),
        (Rule(rejected=-math.inf, relation="same"), 1),
        (Rule(rejected=-math.inf, length_ratio=1.5), 3),
    ):
        found = select(values, pools, rule, language, tokens)
        assert (found.chosen.tolist(), found.rejected.tolist()) == ([0], [rejected])


def test_a_pool_may_give_several_pairs_of_different_answers() -> None:
    found = select(np.arange(6.0), np.zeros(6, int), Rule(rejected=-math.inf, per_pool=5))
    assert list(zip(found.chosen.tolist(), found.rejected.tolist(), strict=True)) == [(5, 0), (4, 1), (3, 2)]
    assert set(found.pool_mean.tolist()) == {2.5}


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    values, pools = rng.normal(size=5000), np.sort(rng.integers(0, 300, 5000))
    whole = select(values, pools, Rule())
    monkeypatch.setattr(pairing, "BLOCK_ROWS", 64)
    cut = select(values, pools, Rule())
    for name in ("chosen", "rejected", "pool_size", "pool_min", "pool_mean", "pool_std"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))
    assert whole.refused == cut.refused


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_failed_score_is_refused_not_averaged(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        select(np.array([1.0, bad]), np.zeros(2, int), Rule())


def test_no_rows_no_pairs() -> None:
    found = select(np.empty(0), np.empty(0, int), Rule())
    assert len(found.chosen) == 0
    assert found.refused == {}


rewards = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=1, max_size=24)
rules = st.sampled_from([Rule(*points) for points in ORDERED])


def _clear(pool: list[float], rule: Rule) -> bool:
    """No two different rewards are about equally near to a point: rounding then decides nothing."""
    mean, std = statistics.fmean(pool), statistics.pstdev(pool)
    for k in (rule.chosen, rule.rejected):
        if not math.isinf(k):
            distances = sorted(abs(r - mean - k * std) for r in set(pool))
            if any(b - a < 1e-6 for a, b in itertools.pairwise(distances)):
                return False
    return True


@settings(max_examples=150, deadline=None)
@given(rewards, rules, st.integers(-1000, 1000), st.sampled_from([0.001, 0.3, 1.0, 7.0, 1e4]))
def test_shift_and_positive_scale_change_nothing(pool: list[float], rule: Rule, shift: int, scale: float) -> None:
    assume(_clear(pool, rule))
    assert pairs_of([pool], rule) == pairs_of([[scale * r + shift for r in pool]], rule)


@settings(max_examples=150, deadline=None)
@given(rewards, rules)
def test_any_pool_is_as_defined(pool: list[float], rule: Rule) -> None:
    assume(_clear(pool, rule))
    assert pairs_of([pool], rule) == [by_definition(pool, rule)]


@settings(max_examples=50, deadline=None)
@given(st.lists(rewards, min_size=1, max_size=6), rules)
def test_pools_do_not_see_one_another(pools: list[list[float]], rule: Rule) -> None:
    assert pairs_of(pools, rule) == [pair for pool in pools for pair in pairs_of([pool], rule)]


def test_z_scores_and_ranks() -> None:
    """Group 0: 1, 3, 5 (mean 3, sd sqrt(8/3)); group 1: 7, 7 (no spread). Ranks: (1/2, 3/2, 5/2)/3 and, tied, 1/2 each."""
    values, groups = np.array([3.0, 7.0, 1.0, 5.0, 7.0]), np.array([0, 1, 0, 0, 1])
    sd = math.sqrt(8 / 3)
    np.testing.assert_allclose(standardise.z_scores(values, groups), [0, 0, -2 / sd, 2 / sd, 0])
    np.testing.assert_allclose(standardise.ranks(values, groups), [1 / 2, 1 / 2, 1 / 6, 5 / 6, 1 / 2])


def test_only_eligible_answers_are_chosen_and_all_make_the_pool() -> None:
    """Rewards 9, 1, 5, 3, with only the 5 eligible: mu = 4.5, sigma = sqrt(8.75), mu - 2 sigma < 1; 9 is not below 5."""
    found = select(np.array([9.0, 1.0, 5.0, 3.0]), np.zeros(4, int), Rule(), eligible=np.array([0, 0, 1, 0], bool))
    assert (found.chosen.tolist(), found.rejected.tolist(), found.pool_mean.tolist()) == ([2], [1], [4.5])
    none = select(np.array([9.0, 1.0]), np.zeros(2, int), Rule(), eligible=np.zeros(2, bool))
    assert none.refused["no answer that may be chosen"] == 1


def test_ranks_count_what_lies_below_and_half_of_what_is_equal() -> None:
    rng = np.random.default_rng(3)
    values, groups = rng.integers(0, 20, 200).astype(float), rng.integers(0, 3, 200)
    expected = []
    for value, group in zip(values, groups, strict=True):
        peers = values[groups == group]
        expected.append(((peers < value).sum() + (peers == value).sum() / 2) / len(peers))
    np.testing.assert_allclose(standardise.ranks(values, groups), expected)


def test_every_pair_by_hand() -> None:
    """Pool (1, 3, 2): 3 > 1, 3 > 2 and 2 > 1; pool (5, 5) has no lower answer, pool (7) no second."""
    found = pairing.every_pair(np.array([1.0, 3.0, 2.0, 5.0, 5.0, 7.0]), np.array([0, 0, 0, 1, 1, 2]), 10, seed=0)
    assert list(zip(found.chosen.tolist(), found.rejected.tolist(), strict=True)) == [(1, 0), (1, 2), (2, 0)]
    assert found.refused == {"pool too small": 1, "no lower answer": 1}
    assert found.pool_size.tolist() == [3, 3, 3]
    assert found.pool_mean.tolist() == [2.0, 2.0, 2.0]


def test_every_pair_up_to_a_cap() -> None:
    """20 different values make 190 pairs; of a cap of 50, fifty different ones, the same for the same seed."""
    values, pools = np.random.default_rng(0).permutation(20).astype(float), np.zeros(20, int)
    assert len(pairing.every_pair(values, pools, 1000, seed=0).chosen) == 190
    capped, again = (pairing.every_pair(values, pools, 50, seed=1) for _ in range(2))
    pairs = set(zip(capped.chosen.tolist(), capped.rejected.tolist(), strict=True))
    assert len(pairs) == 50
    assert all(values[c] > values[r] for c, r in pairs)
    assert np.array_equal(capped.chosen, again.chosen)
    assert len(pairing.every_pair(np.empty(0), np.empty(0, int), 5, seed=0).chosen) == 0
