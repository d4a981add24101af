"""Length and style control: scipy's optimiser as the oracle of the fit, and effects that were put in come out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from croco.maths import controlled, glm

RNG = np.random.default_rng(0)
QUESTIONS = 400
NAN = float("nan")


def test_the_fit_is_the_optimisers() -> None:
    """Weighted cross-entropy and ridge, three coefficients, soft labels; a label that is missing changes nothing."""
    x = RNG.normal(0, 1, (60, 3))
    y, w = RNG.random(60), RNG.random(60)
    penalty = np.array([0.0, 0.5, 1.0])

    def loss(b: np.ndarray) -> float:
        p = expit(x @ b)
        return float(-(w * (y * np.log(p) + (1 - y) * np.log(1 - p))).sum() + (penalty * b**2).sum())

    oracle = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-10}).x
    holes = np.append(y, NAN)[None], np.concatenate([x, [[1e3] * 3]])[None], np.append(w, 1)[None]
    assert glm.fit(*holes, penalty)[0] == pytest.approx(oracle, abs=1e-6)


def test_what_the_data_make_infinite_ends() -> None:
    assert expit(glm.fit(np.ones((1, 5)), np.ones((1, 5, 1)))[0, 0]) == pytest.approx(1.0)


def _world(theta: np.ndarray, phi: float, hardness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    differences = RNG.normal(300, 600, (len(theta), QUESTIONS))
    logits = theta[:, None] + phi * controlled.standardised(differences) + hardness
    return (RNG.random(logits.shape) < expit(logits)).astype(float), differences


def test_difficulties_are_found_again() -> None:
    """Fifty systems: nearly those that were put in."""
    hardness = RNG.normal(0, 1, QUESTIONS)
    scores, differences = _world(RNG.normal(0, 1, 50), 0.8, hardness)
    found = controlled.difficulties(scores, differences)
    assert np.corrcoef(found, hardness)[0, 1] > 0.93
    with pytest.raises(ValueError, match="two systems"):
        controlled.difficulties(scores[:1], differences[:1])


def test_length_is_taken_out_and_difficulty_stays() -> None:
    """theta = 0, phi = 1.5, answers longer by half a sd: at equal length mean_q sigmoid(difficulty_q), about one half."""
    hardness = RNG.normal(0, 1, QUESTIONS)
    scores, differences = _world(np.zeros(30), 1.5, hardness)
    rates = controlled.alpaca_eval(scores, differences, np.broadcast_to(hardness, scores.shape))
    assert scores.mean() > 0.57
    assert rates.mean() == pytest.approx(expit(hardness).mean(), abs=0.02)


def test_gamed_answers_hold_the_weight_of_length() -> None:
    """A system of one length has no phi of its own; where it is always longer and always wins, length could be all of it. The
    gamed rows, on which length does nothing, say it is not: the controlled rate stays near the plain one."""
    scores = (RNG.random((1, QUESTIONS)) < 0.8).astype(float)
    differences = RNG.normal(500, 100, (1, QUESTIONS))
    hardness = np.zeros((1, QUESTIONS))
    lengths = controlled.standardised(RNG.normal(0, 500, 2 * QUESTIONS))
    gamed = controlled.Gamed(np.full(2 * QUESTIONS, 0.5), lengths, np.zeros(2 * QUESTIONS), 2)
    free = controlled.alpaca_eval(scores, differences, hardness)[0]
    held = controlled.alpaca_eval(scores, differences, hardness, gamed)[0]
    assert abs(held - scores.mean()) < abs(free - scores.mean())


def test_style_by_hand() -> None:
    """30 and 10 characters: (30 - 10) / 40. One bold span in 30 characters is 33.3 per 1,000, none in the other:
    33.3 / 34.3."""
    length, headers, lists, bold = controlled.style_of("**a** " + "b" * 24, "c" * 10)
    assert (length, headers, lists) == (0.5, 0.0, 0.0)
    assert bold == pytest.approx((1000 / 30) / (1000 / 30 + 1))
    assert controlled.style_of("# a\n- b\n1. c", "# a\n- b\n1. c") == [0, 0, 0, 0]


def test_style_is_taken_out() -> None:
    differences = RNG.normal([0.5, 0, 0, 1], 1, (1, 5000, 4))
    scores = (RNG.random((1, 5000)) < expit(differences[..., 3])).astype(float)
    assert scores.mean() > 0.6
    assert controlled.style(scores, differences)[0] == pytest.approx(0.5, abs=0.03)


def test_the_interval_is_of_the_rate() -> None:
    scores, differences = RNG.random(50), RNG.normal(0, 1, 50)
    found = controlled.interval(
        lambda y, d: controlled.alpaca_eval(y, d, np.zeros_like(y)), (scores, differences), 200, 0.9
    )
    assert found.low < found.mean < found.high
