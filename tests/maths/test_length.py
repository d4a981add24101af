"""Length control of rewards."""

from __future__ import annotations

import numpy as np
import pytest

from croco.maths import length


def test_alpha_by_hand() -> None:
    """Two answers of 10 and 20 characters with rewards 0 and 4: the long one wins (gap +10) while 4 > 10 alpha and loses behind
    it (gap -10); at alpha = 0.4 both are worth -4, the first is best and worst, and the gap is 0."""
    rewards, lengths, pools = np.array([0.0, 4.0]), np.array([10, 20]), np.array([0, 0])
    assert length.alpha(rewards, lengths, pools, 0.1) == pytest.approx(0.4)


def test_alpha_balances_pools() -> None:
    """In the first pool the long answer wins by 1, in the second the short one by 1, ten characters apart: lengths are even
    without control."""
    rewards, pools = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, 0, 1, 1])
    assert length.alpha(rewards, np.array([10, 20, 10, 20]), pools, 0.001) == 0.0


def test_no_answer_needs_no_alpha() -> None:
    assert length.alpha(np.empty(0), np.empty(0, int), np.empty(0, int), 0.1) == 0.0


def test_the_slope_within_pools_is_blind_to_their_levels() -> None:
    """Two pools with rewards 1 + 0.5 length and 9 + 0.5 length; over both, ever longer answers would seem worse."""
    lengths = np.array([10, 12, 1, 5])
    pools = np.array([0, 0, 1, 1])
    rewards = np.array([1.0, 1.0, 9.0, 9.0]) + 0.5 * lengths
    assert length.slope(rewards, lengths, pools) == pytest.approx(0.5)
    assert length.slope(rewards, np.ones(4, int), pools) == 0.0
