"""Statistics against scipy and against values derived by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from croco.maths import statistics


@pytest.mark.parametrize("method", statistics.METHODS)
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_bootstrap_agrees_with_scipy(method: str, draw: str) -> None:
    """Within 2 % of the interval's width: what is left is the resamples' noise."""
    values = getattr(np.random.default_rng(0), draw)(size=80)
    ours = statistics.bootstrap_mean(values, 40000, 0.95, method=method)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=40000, method=method, rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.02 * (theirs.high - theirs.low))


def test_bca_leans_to_the_long_tail() -> None:
    values = np.random.default_rng(3).exponential(size=40)
    plain, bca = (statistics.bootstrap_mean(values, 5000, 0.95, method=m) for m in statistics.METHODS)
    assert bca.low > plain.low
    assert bca.high > plain.high


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), chunk=st.integers(1, 3000), seed=st.integers(0, 5))
def test_chunks_change_no_bit(n: int, chunk: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    whole = statistics.bootstrap_mean(values, 60, 0.9, seed, chunk=60 * n)
    assert statistics.bootstrap_mean(values, 60, 0.9, seed, chunk=chunk) == whole
    p = statistics.sign_flip_p(values, 60, seed, chunk=60 * n)
    assert statistics.sign_flip_p(values, 60, seed, chunk=chunk) == p


def test_memory_is_that_of_a_chunk() -> None:
    """20,000 resamples of 500 values are 80 MB at once; a chunk's draws, values, signs and products stay below 5 MB."""
    values = np.random.default_rng(0).normal(size=500)
    tracemalloc.start()
    statistics.bootstrap_mean(values, 20000, 0.95, chunk=1 << 16)
    statistics.sign_flip_p(values, 20000, chunk=1 << 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize("method", statistics.METHODS)
@pytest.mark.parametrize("values", [[0.25], [0.25, 0.25, 0.25]])
def test_values_that_do_not_differ_have_no_spread(method: str, values: list[float]) -> None:
    assert statistics.bootstrap_mean(np.array(values), 50, 0.95, method=method) == statistics.Interval(0.25, 0.25, 0.25)


def test_sign_flip_agrees_with_scipys_permutation_test() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 30)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=20000, rng=2).pvalue
    assert statistics.sign_flip_p(values, 20000) == pytest.approx(theirs, abs=0.01)


def test_sign_flip_of_no_difference_is_one() -> None:
    assert statistics.sign_flip_p(np.zeros(10), 100) == 1.0


def test_macro_shares_by_hand() -> None:
    """Languages have (1, 3, 2) and (4, -, 0): means 2 and 2, macro 2. Weights n / (L n_l) are 3 / (2 * 3) = 1/2 and
    3 / (2 * 2) = 3/4, so the shares are 1/2 + 3 = 3.5, 1.5 and 1 + 0 = 1, whose mean is 2; centred, they are
    2 + (-1/2 + 3/2) = 3, 2 + 1/2 = 2.5 and 2 + (0 - 3/2) = 0.5."""
    shares, centred = statistics.macro_shares(np.array([[1.0, 3.0, 2.0], [4.0, np.nan, 0.0]]))
    assert shares == pytest.approx([3.5, 1.5, 1.0])
    assert centred == pytest.approx([3.0, 2.5, 0.5])


def test_macro_needs_a_value_in_every_language() -> None:
    with pytest.raises(ValueError, match="no mean"):
        statistics.macro_shares(np.array([[1.0, 2.0], [np.nan, np.nan]]))


def test_macro_interval_agrees_with_resampling_the_table_itself() -> None:
    """The direct way: draw prompts with all their translations, average what is there in each language, then languages."""
    rng = np.random.default_rng(5)
    table = rng.normal(size=120) + 0.5 * rng.normal(size=(4, 120))
    table[2, ::3] = np.nan
    drawn = table[:, rng.integers(120, size=(4000, 120))]  # languages, resamples, prompts
    low, high = np.quantile(np.nanmean(drawn, axis=2).mean(axis=0), [0.025, 0.975])
    ours = statistics.bootstrap_macro(table, 4000, 0.95)
    assert ours.mean == pytest.approx(np.nanmean(table, axis=1).mean())
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_mcnemar_by_hand() -> None:
    """Right: only the first on 1 prompt, only the second on 5. Of 6 fair coins, at most 1 or at least 5 heads: 14 / 64."""
    first = np.array([1.0, 0, 0, 0, 0, 0, 1, 0])
    second = np.array([0.0, 1, 1, 1, 1, 1, 1, 0])
    assert statistics.mcnemar_p(first, second) == pytest.approx(14 / 64)
    assert statistics.mcnemar_p(first, first) == 1.0
    with pytest.raises(ValueError, match="zeros and ones"):
        statistics.mcnemar_p(first, second / 2)


def test_mcnemar_is_what_sign_flips_approach() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 60)) < [[0.4], [0.6]]).astype(float)
    flips = statistics.sign_flip_p(second - first, 20000)
    assert statistics.mcnemar_p(first, second) == pytest.approx(flips, abs=0.01)


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; the running maximum lifts the last to 0.06."""
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_benjamini_hochberg_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.5 times 4/1, 4/2, 4/3, 4/4 is 0.04, 0.04, 0.04, 0.5."""
    assert statistics.benjamini_hochberg([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_corrections_are_ordered(p_values: list[float]) -> None:
    """None <= BH <= Holm <= 1, each in the order of the p-values it was given."""
    none, bh, holm = (np.array(statistics.adjusted(p_values, c)) for c in ("none", "bh", "holm"))
    assert (none <= bh + 1e-9).all()
    assert (bh <= holm + 1e-9).all()
    assert (holm <= 1).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(holm[order]) >= 0).all()


def test_nothing_to_adjust() -> None:
    assert [statistics.adjusted([], c) for c in statistics.CORRECTIONS] == [[], [], []]


def test_minimum_detectable_effect_of_498_verdicts() -> None:
    """(1.960 + 0.842) * 0.5 / sqrt(498) = 6.3 points of win rate; Bonferroni over 11 languages (2.838 for 1.960) 8.2."""
    assert statistics.minimum_detectable(498, 0.5) == pytest.approx(0.0628, abs=1e-4)
    assert statistics.minimum_detectable(498, 0.5, alpha=0.05 / 11) == pytest.approx(0.0824, abs=1e-4)


def test_minimum_detectable_effect_is_found_as_often_as_it_says() -> None:
    """Of 2,000 samples whose true mean is the smallest detectable one, a z-test at 5 % finds 80 %."""
    effect = statistics.minimum_detectable(100, 2.0, power=0.8)
    means = np.random.default_rng(0).normal(effect, 2.0, size=(2000, 100)).mean(axis=1)
    assert (abs(means) > 1.96 * 2.0 / 10).mean() == pytest.approx(0.8, abs=0.03)


def test_win_rate_counts_ties_half() -> None:
    assert statistics.win_rate(np.array([0.0, 1.0, 0.5, 0.2]), np.array([1.0, 0.0, 0.5, 0.3])) == 0.625


def covered(truth: float, intervals: list[statistics.Interval]) -> float:
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


@pytest.mark.slow
@pytest.mark.parametrize("method", statistics.METHODS)
def test_intervals_of_means_cover_as_often_as_they_say(method: str) -> None:
    """95 % intervals of 1,000 samples of 100 values each cover the mean 93 to 97 % of the time (noise of the simulation:
    0.7 points sd); the differences of two graded answers are bounded and mostly symmetric, as these are."""
    rng = np.random.default_rng(0)
    samples = rng.beta(2, 3, size=(1000, 100)) - rng.beta(2, 4, size=(1000, 100))
    intervals = [statistics.bootstrap_mean(s, 1000, 0.95, seed, method) for seed, s in enumerate(samples)]
    assert 0.93 <= covered(2 / 5 - 2 / 6, intervals) <= 0.97


@pytest.mark.slow
def test_bca_covers_a_skewed_mean_better() -> None:
    """Log-normal values, n = 40, the true mean is e^(1/2): both miss the upper tail too often, BCa less so."""
    rng = np.random.default_rng(1)
    samples = rng.lognormal(size=(1000, 40))
    by_method = {
        method: covered(
            np.exp(0.5), [statistics.bootstrap_mean(s, 1000, 0.95, i, method) for i, s in enumerate(samples)]
        )
        for method in statistics.METHODS
    }
    assert by_method["percentile"] < by_method["bca"] < 0.95


@pytest.mark.slow
def test_macro_intervals_cover_although_translations_depend() -> None:
    """Seven languages share most of a prompt's difficulty, a fifth of the cells is missing. Joint draws of prompts cover 93 to
    97 %; a bootstrap that takes translations for prompts of their own covers far less."""
    rng = np.random.default_rng(2)
    joint, naive = [], []
    for seed in range(600):
        table = rng.normal(size=80) + 0.5 * rng.normal(size=(7, 80)) + 0.3
        table[rng.random(table.shape) < 0.2] = np.nan
        joint.append(statistics.bootstrap_macro(table, 800, 0.95, seed))
        naive.append(statistics.bootstrap_mean(table[~np.isnan(table)], 800, 0.95, seed))
    assert 0.93 <= covered(0.3, joint) <= 0.97
    assert covered(0.3, naive) < 0.7
