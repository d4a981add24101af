"""Statistics against scipy and against values derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from croco.maths import statistics


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, 80)
    ours = statistics.bootstrap_mean(values, 20000, 0.95)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_sign_flip_agrees_with_scipys_permutation_test() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 30)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=20000, rng=2).pvalue
    assert statistics.sign_flip_p(values, 20000) == pytest.approx(theirs, abs=0.01)


def test_sign_flip_of_no_difference_is_one() -> None:
    assert statistics.sign_flip_p(np.zeros(10), 100) == 1.0


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; the running maximum lifts the last to 0.06."""
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_win_rate_counts_ties_half() -> None:
    assert statistics.win_rate(np.array([0.0, 1.0, 0.5, 0.2]), np.array([1.0, 0.0, 0.5, 0.3])) == 0.625
