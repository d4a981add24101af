"""Win rates of one system against another, from a score per question and language: 1 won, 0 lost, 0.5 a tie, NaN not judged.

The unit is the question. Its translations are dependent, so the bootstrap draws questions jointly for all languages, and a
sign flip exchanges the two systems in all of a question's translations.

The length-controlled win rate is the smallest of its kind ("LC-minimal"): of AlpacaEval's model (Dubois et al. 2024,
arXiv 2404.04475) it keeps the two terms that one pair of systems has data for,

    logit P(candidate wins) = theta + phi * tanh(d / sd(d)),    d = candidate's length - opponent's length,

fitted by maximum likelihood with a penalty of phi^2; the rate is sigmoid(theta), what the model says of answers of equal
length. It leaves out the difficulty of instructions (fitted over a leaderboard there) and the cross-validated L1 penalty. Where
few answers are about equally long it extrapolates: see `support`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from croco.maths.statistics import Interval, sign_flip_macro_p, sign_flip_p

Floats = NDArray[np.float64]
CHUNK = 1 << 20  # draws in memory at a time
STEPS = 200  # of Newton's method; about six are usual
LONGEST_STEP = 1.0
CONVERGED = 1e-10
CONSTANT = 1e-8  # a standard deviation below this is none
NEAR = 0.5  # standard deviations of the length difference


@dataclass(frozen=True)
class LengthControlled:
    """The fit to one set of questions."""

    rate: float
    """sigmoid(theta): the win rate at equal length."""
    phi: float
    """Above 0 where the longer answer tends to win."""
    support: float
    """Share of questions whose answers differ by less than half a standard deviation: what the rate at equal length rests on."""


def length_controlled(scores: Floats, differences: Floats) -> LengthControlled:
    """LC-minimal of (n,) scores, NaN where not judged, and (n,) length differences.

    Raises:
        ValueError: nothing was judged.
    """
    there = ~np.isnan(scores)
    if not there.any():
        raise ValueError("no question was judged")
    theta, phi = _fit(scores[None], differences[None])
    d = differences[there]
    spread = d.std()
    support = (abs(d) < NEAR * spread).mean() if spread >= CONSTANT else (abs(d) < CONSTANT).mean()
    return LengthControlled(float(expit(theta[0])), float(phi[0]), float(support))


def _fit(scores: Floats, differences: Floats) -> tuple[Floats, Floats]:
    """(theta, phi), each (r,), of r sets of n questions; (r, n) arrays, NaN scores carry no weight.

    Newton's method on sum of cross-entropies + phi^2, which is convex, with steps cut to LONGEST_STEP. Where all are won or all
    are lost theta is infinite; where all differ by the same length there is nothing to control for, and phi is 0.
    """
    weight = (~np.isnan(scores)).astype(float)
    y, differences = (np.where(weight > 0, values, 0.0) for values in (scores, differences))
    count = weight.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weight * y).sum(axis=1) / count
        centre = (weight * differences).sum(axis=1) / count
        spread = np.sqrt((weight * (differences - centre[:, None]) ** 2).sum(axis=1) / count)
        theta = logit(mean)
    phi = np.zeros_like(theta)
    rows = np.flatnonzero(np.isfinite(theta) & (spread >= CONSTANT))
    x = np.tanh(differences[rows] / spread[rows, None])
    y, weight = y[rows], weight[rows]
    for _ in range(STEPS):
        if len(rows) == 0:
            break
        p = expit(theta[rows, None] + phi[rows, None] * x)
        error, curve = weight * (p - y), weight * p * (1 - p)
        g0, g1 = error.sum(axis=1), (error * x).sum(axis=1) + 2 * phi[rows]
        h00, h01, h11 = curve.sum(axis=1), (curve * x).sum(axis=1), (curve * x * x).sum(axis=1) + 2
        determinant = h00 * h11 - h01**2
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        theta[rows] -= np.clip(step0, -LONGEST_STEP, LONGEST_STEP)
        phi[rows] -= np.clip(step1, -LONGEST_STEP, LONGEST_STEP)
        going = np.maximum(abs(step0), abs(step1)) > CONVERGED
        rows, x, y, weight = rows[going], x[going], y[going], weight[going]
    return theta, phi


@dataclass(frozen=True)
class Rates:
    """Of each language, then of the macro average: win rate and length-controlled win rate with their intervals."""

    raw: list[Interval]
    controlled: list[Interval]


def rates(scores: Floats, differences: Floats, resamples: int, confidence: float, seed: int = 0) -> Rates:
    """Percentile intervals of (languages, n) scores and length differences; column i is one question in all languages.

    Raises:
        ValueError: a language has no judged question.
    """
    if np.isnan(scores).all(axis=1).any():
        raise ValueError("a language without a judged question has no win rate")
    raw = _with_macro(np.nanmean(scores, axis=1)[:, None])[:, 0]
    controlled = _with_macro(expit(_fit(scores, differences)[0])[:, None])[:, 0]
    drawn_raw, drawn_controlled = [], []
    for draw in _draws(scores.shape[1], resamples, seed):
        parts = [(row[draw], difference[draw]) for row, difference in zip(scores, differences, strict=True)]
        drawn_raw.append(_with_macro(np.stack([_mean(y) for y, _ in parts])))
        drawn_controlled.append(_with_macro(np.stack([expit(_fit(y, d)[0]) for y, d in parts])))
    return Rates(
        _intervals(raw, np.concatenate(drawn_raw, axis=1), confidence),
        _intervals(controlled, np.concatenate(drawn_controlled, axis=1), confidence),
    )


def _draws(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Resampled question indices, some (r, n) at a time."""
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    for start in range(0, resamples, rows):
        yield rng.integers(n, size=(min(rows, resamples - start), n))


def _mean(scores: Floats) -> Floats:
    """Of each row's numbers; NaN where a resample drew no judged question."""
    there = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        means: Floats = np.where(there, scores, 0.0).sum(axis=1) / there.sum(axis=1)
    return means


def _with_macro(values: Floats) -> Floats:
    """(languages, r) -> (languages + 1, r), the last row their mean."""
    return np.concatenate([values, values.mean(axis=0, keepdims=True)])


def _intervals(values: Floats, drawn: Floats, confidence: float) -> list[Interval]:
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    return [Interval(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]


def p_values(scores: Floats, resamples: int, seed: int = 0) -> list[float]:
    """Two-sided p of a win rate of one half by sign flips of (languages, n) scores: of each language, then of their mean."""
    away = scores - 0.5
    alone = [sign_flip_p(row[~np.isnan(row)], resamples, seed) for row in away]
    return [*alone, sign_flip_macro_p(away, resamples, seed)]


@dataclass(frozen=True)
class Agreement:
    """Of two judgements of the same questions."""

    share: float
    kappa: float | None
    """Cohen's, chance removed; None where chance alone would agree always."""


def agreement(first: Floats, second: Floats) -> Agreement:
    """Of (n,) scores in {0, 0.5, 1} that were given twice (Cohen 1960).

    Raises:
        ValueError: there is no question.
    """
    if len(first) == 0:
        raise ValueError("no question was judged twice")
    share = float((first == second).mean())
    chance = float(sum((first == value).mean() * (second == value).mean() for value in (0.0, 0.5, 1.0)))
    return Agreement(share, (share - chance) / (1 - chance) if chance < 1 else None)
