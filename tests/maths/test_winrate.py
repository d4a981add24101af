"""Win rates: values by hand, scipy's optimiser as the oracle of the fit, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from croco.maths import winrate

NAN = float("nan")


def oracle(scores: np.ndarray, differences: np.ndarray) -> tuple[float, float]:
    """The published objective, -sum log-likelihood + phi^2, by a general optimiser."""
    x = np.tanh(differences / differences.std())

    def loss(parameters: np.ndarray) -> float:
        p = expit(parameters[0] + parameters[1] * x)
        return float(-(scores * np.log(p) + (1 - scores) * np.log(1 - p)).sum() + parameters[1] ** 2)

    theta, phi = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-9}).x
    return float(expit(theta)), float(phi)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [5, 60, 498])
def test_the_fit_is_the_optimisers(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.normal(300 * seed, 400, n).round()
    scores = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], n)
    ours = winrate.length_controlled(scores, differences)
    assert (ours.rate, ours.phi) == pytest.approx(oracle(scores, differences), abs=1e-6)


def test_questions_that_were_not_judged_carry_no_weight() -> None:
    rng = np.random.default_rng(0)
    scores, differences = rng.choice([0.0, 1.0], 40), rng.normal(0, 1, 40)
    holes = np.concatenate([scores, [NAN, NAN]]), np.concatenate([differences, [1e6, NAN]])
    with_holes, without = winrate.length_controlled(*holes), winrate.length_controlled(scores, differences)
    assert with_holes.rate == pytest.approx(without.rate)
    assert with_holes.support == without.support


def test_a_pure_length_effect_is_taken_out() -> None:
    """logit P = 0 + 3 tanh(d/sd) with the candidate usually longer: it wins far more than half, and at equal length half."""
    rng = np.random.default_rng(1)
    differences = rng.normal(200, 400, 20_000)
    wins = (rng.random(20_000) < expit(3 * np.tanh(differences / differences.std()))).astype(float)
    fit = winrate.length_controlled(wins, differences)
    assert wins.mean() > 0.6
    assert fit.rate == pytest.approx(0.5, abs=0.02)
    assert fit.phi == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize(
    ("scores", "differences", "rate"),
    [([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], 1.0), ([0.0, 0.0], [1.0, 2.0], 0.0), ([1.0, 0.0, 0.0, 0.0], [7.0] * 4, 0.25)],
)
def test_where_there_is_nothing_to_fit_it_is_the_win_rate(
    scores: list[float], differences: list[float], rate: float
) -> None:
    """All won, all lost, and one length difference for all."""
    assert winrate.length_controlled(np.array(scores), np.array(differences)).rate == pytest.approx(rate)


def test_support_is_the_share_of_about_equal_lengths() -> None:
    """Differences -10, 0, 0, 10 have sd sqrt(50) = 7.07: the two zeros lie within half of it. Ten apart always: none does."""
    scores = np.array([1.0, 0.0, 1.0, 0.0])
    assert winrate.length_controlled(scores, np.array([-10.0, 0.0, 0.0, 10.0])).support == 0.5
    assert winrate.length_controlled(scores, np.full(4, 10.0)).support == 0.0


def test_rates_and_their_macro_average_by_hand() -> None:
    """Language 1: (1 + 0 + 0.5) / 3 = 0.5; language 2, one question not judged: (1 + 1) / 2 = 1; macro 0.75."""
    scores = np.array([[1.0, 0.0, 0.5], [1.0, NAN, 1.0]])
    found = winrate.rates(scores, np.zeros((2, 3)), resamples=200, confidence=0.9)
    assert [r.mean for r in found.raw] == pytest.approx([0.5, 1.0, 0.75])
    assert [r.mean for r in found.controlled] == pytest.approx([0.5, 1.0, 0.75])
    assert all(r.low <= r.mean <= r.high for r in found.raw)
    assert (found.raw[1].low, found.raw[1].high) == (1.0, 1.0)


def test_translations_are_drawn_together() -> None:
    """The same scores in two languages carry the evidence of one: the macro interval is the language's own. In independent
    languages it is narrower by about sqrt(2)."""
    rng = np.random.default_rng(2)
    first, second = rng.choice([0.0, 1.0], (2, 400))
    same = winrate.rates(np.stack([first, first]), rng.normal(0, 1, (2, 400)), 2000, 0.95).raw
    assert (same[2].low, same[2].high) == pytest.approx((same[0].low, same[0].high))
    apart = winrate.rates(np.stack([first, second]), rng.normal(0, 1, (2, 400)), 2000, 0.95).raw
    assert (apart[0].high - apart[0].low) / (apart[2].high - apart[2].low) == pytest.approx(np.sqrt(2), rel=0.12)


def test_p_values_by_enumeration() -> None:
    """Three questions won: of 8 sign patterns 2 reach |mean| = 1/2, so p is about 1/4. With every question won in one language
    and lost in the other the shares are 0, and p is 1."""
    alone, other, macro = winrate.p_values(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), resamples=20_000)
    assert alone == pytest.approx(0.25, abs=0.02)
    assert other == pytest.approx(0.25, abs=0.02)
    assert macro == 1.0


def test_agreement_by_hand() -> None:
    """Four of five agree. Chance: wins .6 * .4 + ties .2 * .2 + losses .2 * .4 = .36; kappa = (.8 - .36) / .64 = .6875."""
    first, second = np.array([1, 1, 1, 0.5, 0]), np.array([1, 1, 0, 0.5, 0])
    found = winrate.agreement(first, second)
    assert found.share == pytest.approx(0.8)
    assert found.kappa == pytest.approx(0.6875)
    assert winrate.agreement(np.ones(3), np.ones(3)) == winrate.Agreement(1.0, None)


def test_what_was_not_judged_has_no_rate() -> None:
    empty = np.full((1, 2), NAN)
    with pytest.raises(ValueError, match="no win rate"):
        winrate.rates(empty, empty, 10, 0.9)
    with pytest.raises(ValueError, match="judged"):
        winrate.length_controlled(empty[0], empty[0])
    with pytest.raises(ValueError, match="twice"):
        winrate.agreement(np.array([]), np.array([]))


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """Of 300 samples of 150 questions with a true rate of 0.6, 95 % intervals should hold it about 285 times; the binomial's
    0.1 % quantile is 272."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        scores = rng.choice([0.0, 0.5, 1.0], (1, 150), p=[0.3, 0.2, 0.5])
        interval = winrate.rates(scores, rng.normal(0, 1, (1, 150)), 400, 0.95).raw[0]
        hits += interval.low <= 0.6 <= interval.high
    assert hits >= 272
