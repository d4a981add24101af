"""Logistic regression of soft labels, for many small data sets at once: what length and style control fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
STEPS = 100  # of Newton's method; about eight are usual
LONGEST_STEP = 2.0
CONVERGED = 1e-9
CEILING = 30.0  # of a coefficient that the data would make infinite: a share of 1 but for 1e-13


def fit(scores: Floats, features: Floats, weights: Floats | None = None, penalty: Floats | float = 0.0) -> Floats:
    """Coefficients (r, k) that minimise, set by set, sum w * cross-entropy(score, sigmoid(features @ b)) + sum penalty * b^2.

    Newton's method, with steps cut to LONGEST_STEP. A feature that is 0 throughout, and not penalised, gets 0.

    Args:
        scores: (r, n) in [0, 1]; NaN carries no weight.
        features: (r, n, k).
        weights: (r, n), 1 by default.
        penalty: (k,), 0 for none.
    """
    there = ~np.isnan(scores)
    weight = there * (1.0 if weights is None else weights)
    y = np.where(there, scores, 0.0)
    x = np.where(there[..., None], features, 0.0)
    sets, _, k = x.shape
    ridge = np.broadcast_to(np.asarray(penalty, float), (k,))
    beta = np.zeros((sets, k))
    rows = np.arange(sets)
    for _ in range(STEPS):
        if len(rows) == 0:
            break
        p = expit(np.einsum("rnk,rk->rn", x, beta[rows]))
        gradient = np.einsum("rnk,rn->rk", x, weight * (p - y)) + 2 * ridge * beta[rows]
        curve = np.einsum("rnk,rn,rnj->rkj", x, weight * p * (1 - p), x) + 2 * np.diag(ridge)
        # Too flat to tell apart from nothing: no step there.
        step = np.einsum("rkj,rj->rk", np.linalg.pinv(curve, rcond=1e-12, hermitian=True), gradient)
        beta[rows] = np.clip(beta[rows] - np.clip(step, -LONGEST_STEP, LONGEST_STEP), -CEILING, CEILING)
        going = (abs(step) > CONVERGED).any(axis=1) & (abs(beta[rows]) < CEILING).all(axis=1)
        rows, x, y, weight = rows[going], x[going], y[going], weight[going]
    return beta
