"""Win rates at equal length or equal style, with the parts that a leaderboard has and a single pair of systems lacks.

`alpaca_eval` is AlpacaEval's length-controlled win rate (Dubois et al. 2024, arXiv 2404.04475; length_controlled_v1):

    logit P(system wins on question q) = theta + phi * tanh(d_q / sd(d)) + psi * difficulty_q

where d is the system's length minus the baseline's. Two gamed systems, the baseline asked to be brief and to be wordy, are fitted
along, without theta and with a weight of 0.2 together: phi and psi stay near what length alone does. The rate is the mean over
the questions of P with d = 0. `style` is Arena-Hard's: a logistic regression on standardised differences of length and Markdown.

Departures:
1. AlpacaEval penalises the coefficients by L1 with a strength from five-fold cross-validation, which settles on next to none;
   here it is a ridge of PENALTY.
2. Its difficulties come from a fit over its leaderboard, published as a file. Where none is given they are fitted here over the
   other systems that were judged on the same questions: logit P(m wins on q) = theta_m + phi_m tanh(.) + difficulty_q, with a
   ridge of PRIOR on the difficulties. Two systems are the fewest.
3. Intervals are a bootstrap over questions; AlpacaEval gives the standard error of the predictions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from croco.maths import glm
from croco.maths.statistics import Interval

Floats = NDArray[np.float64]
PENALTY = 1e-4
PRIOR = 0.5  # ridge on a difficulty: that of a normal distribution with variance 1
GAMED_WEIGHT = 0.2  # of all gamed rows together, relative to as many of the system's
ROUNDS = 30  # of the joint fit; the difficulties move by less than 1e-3 after about ten
CHUNK = 1 << 18  # rows of a bootstrap held at a time
HEADER, LIST = re.compile(r"^#{1,6}\s", re.MULTILINE), re.compile(r"^\s*(?:[-*+]|\d+\.)\s", re.MULTILINE)
BOLD = re.compile(r"\*\*[^\n*]+\*\*|__[^\n_]+__")
STYLES = ("length", "headers", "lists", "bold")


@dataclass(frozen=True)
class Gamed:
    """Judgements of systems that only change the baseline's length."""

    scores: Floats
    lengths: Floats
    """tanh of the standardised differences, as a feature."""
    difficulty: Floats
    systems: int
    """How many, which share GAMED_WEIGHT."""


def standardised(differences: Floats) -> Floats:
    """tanh(d / sd(d)) along the last axis, sd with n - 1; 0 where all differences are equal."""
    spread = np.nanstd(differences, axis=-1, ddof=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, np.tanh(differences / spread), 0.0)


def alpaca_eval(scores: Floats, differences: Floats, difficulty: Floats, gamed: Gamed | None = None) -> Floats:
    """Length-controlled win rates (r,) of r sets of n questions.

    Args:
        scores: (r, n) in [0, 1], NaN where not judged.
        differences: (r, n), the system's length minus the baseline's.
        difficulty: (r, n).
    """
    own = np.stack([standardised(differences), difficulty, np.ones_like(scores)], axis=-1)
    weights = np.ones_like(scores)
    y, x = scores, own
    if gamed is not None:
        rows = np.stack([gamed.lengths, gamed.difficulty, np.zeros_like(gamed.scores)], axis=-1)
        y = np.concatenate([scores, np.broadcast_to(gamed.scores, (len(scores), len(gamed.scores)))], axis=1)
        x = np.concatenate([own, np.broadcast_to(rows, (len(scores), *rows.shape))], axis=1)
        light = np.full((len(scores), len(gamed.scores)), GAMED_WEIGHT / gamed.systems)
        weights = np.concatenate([weights, light], axis=1)
    _, psi, theta = glm.fit(y, x, weights, PENALTY).T
    return _mean(scores, expit(theta[:, None] + psi[:, None] * difficulty))


def style(scores: Floats, differences: Floats) -> Floats:
    """Win rates (r,) at equal style: (r, n) scores and (r, n, k) differences of `style_of`, standardised here."""
    spread = np.nanstd(differences, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(spread > 0, differences / spread, 0.0)
    features = np.concatenate([np.ones((*scores.shape, 1)), x], axis=-1)
    rates: Floats = expit(glm.fit(scores, features, None, PENALTY)[:, 0])
    return rates


def _mean(scores: Floats, values: Floats) -> Floats:
    there = ~np.isnan(scores)
    means: Floats = np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)
    return means


def style_of(system: str, baseline: str) -> list[float]:
    """Differences of STYLES: (a - b) / (a + b) of characters, (a - b) / (a + b + 1) of the others per 1,000 characters."""
    lengths = [max(len(text), 1) for text in (system, baseline)]
    found = [(lengths[0] - lengths[1]) / (lengths[0] + lengths[1])]
    for mark in (HEADER, LIST, BOLD):
        one, other = (1000 * len(mark.findall(text)) / n for text, n in zip((system, baseline), lengths, strict=True))
        found.append((one - other) / (one + other + 1))
    return found


def difficulties(scores: Floats, differences: Floats) -> Floats:
    """(questions,) from (systems, questions) scores and length differences: above 0 where systems win more often.

    Alternates between the systems' (theta, phi) and the questions' difficulties, each by Newton's method.

    Raises:
        ValueError: one system alone, whose own scores would be its difficulties.
    """
    if len(scores) < 2:
        raise ValueError("difficulties are fitted over two systems or more")
    there = ~np.isnan(scores)
    y = np.where(there, scores, 0.0)
    x = standardised(differences)
    found = np.zeros(scores.shape[1])
    for _ in range(ROUNDS):
        features = np.stack([np.ones_like(y), np.where(there, x, 0.0), np.broadcast_to(found, y.shape)], axis=-1)
        theta, phi = _systems(scores, features)
        p = expit(theta[:, None] + phi[:, None] * features[..., 1] + found)
        gradient = (there * (p - y)).sum(axis=0) + 2 * PRIOR * found
        found = found - gradient / ((there * p * (1 - p)).sum(axis=0) + 2 * PRIOR)
        found -= found.mean()
    return found


def _systems(scores: Floats, features: Floats) -> tuple[Floats, Floats]:
    """(theta, phi) with the difficulty's coefficient held at 1, by one Newton step more each round than is needed."""
    beta = np.zeros((len(scores), 2))
    x, offset = features[..., :2], features[..., 2]
    there = ~np.isnan(scores)
    for _ in range(8):
        p = expit(np.einsum("mnk,mk->mn", x, beta) + offset)
        gradient = np.einsum("mnk,mn->mk", x, there * (p - np.where(there, scores, 0.0))) + 2 * PENALTY * beta
        curve = np.einsum("mnk,mn,mnj->mkj", x, there * p * (1 - p), x) + 2 * PENALTY * np.eye(2)
        beta -= np.clip(np.linalg.solve(curve, gradient[..., None])[..., 0], -2, 2)
    return beta[:, 0], beta[:, 1]


def interval(
    rate: Callable[..., Floats], parts: Sequence[Floats], resamples: int, confidence: float, seed: int = 0
) -> Interval:
    """A rate with its percentile interval over questions.

    Args:
        rate: from `parts` with a first axis of resamples to (r,) rates.
        parts: (n, ...) each, the questions first.
    """
    rng = np.random.default_rng(seed)
    n = len(parts[0])
    rows = max(1, CHUNK // n)
    drawn = []
    for start in range(0, resamples, rows):
        index = rng.integers(n, size=(min(rows, resamples - start), n))
        drawn.append(rate(*(part[index] for part in parts)))
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(rate(*(part[None] for part in parts))[0]), float(low), float(high))
