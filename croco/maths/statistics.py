"""Paired comparisons of two systems on the same prompts. The unit is the prompt: average its samples first.

For paired data pass the differences: a resampled prompt then keeps both systems' answers. Resamples are drawn in chunks, so
that memory does not grow with their number; the generator is read in one order, so that a chunk's size changes no bit of the
result. Intervals: Efron and Tibshirani 1993, chapters 13 (percentile) and 14 (BCa), by scipy; joint, macro and hierarchical
resampling is ours. tests/maths/test_coverage.py holds what they cover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
METHODS = ("percentile", "bca")
CORRECTIONS = ("holm", "bh", "none")
CHUNK = 1 << 20  # draws held at a time: 8 MiB
EXACT = 30  # units beyond which nobody asks for all sign flips
EPSILON = 1e-12  # sums of the same numbers in another order differ by less


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Floats, resamples: int, confidence: float, seed: int = 0, method: str = "percentile", chunk: int = CHUNK
) -> Interval:
    """Mean of (n,) values with the interval of its bootstrap over the n units, by scipy.

    The levels are `expanded`: a bootstrap of few units is too narrow.

    Args:
        confidence: of the two-sided interval, e.g. 0.95.
        method: `percentile`, or `bca` (bias-corrected and accelerated), which follows a skewed distribution better.
        chunk: draws held in memory at a time.
    """
    n, mean = len(values), float(values.mean())
    if not np.any(abs(values - mean) > EPSILON):
        return Interval(mean, mean, mean)
    made = stats.bootstrap(
        (values,),
        np.mean,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, chunk // n),
        confidence_level=expanded(confidence, n),
        method="BCa" if method == "bca" else method,
        rng=np.random.default_rng(seed),
    )
    return Interval(mean, float(made.confidence_interval.low), float(made.confidence_interval.high))


def expanded(confidence: float, n: int) -> float:
    """The level at which a bootstrap of n units covers as Student's t does (Hesterberg 2015, arXiv 1411.5279, section 5.3).

    A resample has (n - 1) / n of the variance, and quantiles of a normal distribution are too short: 1 - 2 Phi(-t
    sqrt(n / (n - 1))).
    """
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    return float(1 - 2 * special.ndtr(-t * np.sqrt(n / (n - 1))))


def _chunks(resamples: int, n: int, chunk: int) -> Iterator[slice]:
    """Consecutive resamples of n draws, so many that they hold about `chunk` draws."""
    rows = max(1, chunk // max(n, 1))
    for start in range(0, resamples, rows):
        yield slice(start, min(start + rows, resamples))


def sign_flip_p(differences: Floats, resamples: int, seed: int = 0, chunk: int = CHUNK) -> float:
    """Two-sided p of mean difference 0 by sign flips (each prompt's two systems exchanged): all of them, by scipy, where they are
    no more than `resamples`, else random ones with the +1 correction (scipy's take six times as long).
    """
    n = len(differences)
    if 1 < n < EXACT and 2**n <= resamples:
        made = stats.permutation_test(
            (differences,), np.mean, vectorized=True, permutation_type="samples", n_resamples=resamples
        )
        return float(made.pvalue)
    rng = np.random.default_rng(seed)
    observed, reached = abs(differences.mean()), 0
    for part in _chunks(resamples, n, chunk):
        signs = 2.0 * rng.integers(2, size=(part.stop - part.start, n)) - 1.0
        reached += int((abs((signs * differences).mean(axis=1)) >= observed - EPSILON).sum())
    return (1 + reached) / (1 + resamples)


def macro_shares(table: Floats) -> tuple[Floats, Floats]:
    """A prompt's share in the mean over languages of (languages, prompts) values, NaN where a prompt is not there.

    Translations of a prompt are dependent, so a prompt is drawn with all of them: bootstrap and flip the shares, one per
    prompt. Where every prompt is there in every language, its share is its mean over the languages. Where not, it is
    n / L * sum_l d_l / n_l (n_l prompts in language l of L, n in all), so that the shares' mean is still the languages' mean.

    Returns:
        shares: (n,), what sign flips work on.
        centred: (n,), the languages' mean plus the shares of d_l - mean_l, the ratio estimator's linearisation: what the
            bootstrap works on. Equal to the shares where nothing is missing.

    Raises:
        ValueError: a language has no value.
    """
    there = ~np.isnan(table)
    counts = there.sum(axis=1, keepdims=True)
    if (counts == 0).any():
        raise ValueError("a language without a value has no mean")
    languages, n = table.shape
    means = np.where(there, table, 0.0).sum(axis=1, keepdims=True) / counts
    weights = n / (languages * counts)
    shares = (weights * np.where(there, table, 0.0)).sum(axis=0)
    centred = means.mean() + (weights * np.where(there, table - means, 0.0)).sum(axis=0)
    return shares, centred


def bootstrap_macro(
    table: Floats, resamples: int, confidence: float, seed: int = 0, method: str = "percentile"
) -> Interval:
    """Mean over languages of (languages, prompts) values, NaN where missing; prompts are resampled jointly over languages."""
    return bootstrap_mean(macro_shares(table)[1], resamples, confidence, seed, method)


def sign_flip_macro_p(table: Floats, resamples: int, seed: int = 0) -> float:
    """Two-sided p of a macro mean difference of 0; a flip exchanges the systems in all of a prompt's translations."""
    return sign_flip_p(macro_shares(table)[0], resamples, seed)


def bootstrap_hierarchical(
    first: Floats, second: Floats, resamples: int, confidence: float, seed: int = 0, chunk: int = CHUNK
) -> tuple[Interval, float]:
    """(difference of means with its interval, two-sided p) of two systems that were made several times.

    Seeds are drawn first, of each system by themselves, then prompts, the same for both (Efron and Tibshirani 1993, chapter 8):
    the interval holds the spread of training as well as that of the prompts. With k seeds a bootstrap has (k - 1) / k of their
    variance, so that few seeds give too narrow an interval. p: twice the share of resamples on the other side of 0.

    Args:
        first: (seeds, n) values on the same n prompts as `second`; one row for a system that was made once.
        second: (other seeds, n).
    """
    rng = np.random.default_rng(seed)
    n = first.shape[1]
    drawn = np.empty(resamples)
    for part in _chunks(resamples, n, chunk):
        count = part.stop - part.start
        weights = rng.multinomial(n, np.full(n, 1 / n), size=count) / n
        sides = [
            (values @ weights.T)[rng.integers(len(values), size=(len(values), count)), np.arange(count)].mean(axis=0)
            for values in (first, second)
        ]
        drawn[part] = sides[1] - sides[0]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    below, above = int((drawn <= EPSILON).sum()), int((drawn >= -EPSILON).sum())
    p = min(1.0, (1 + 2 * min(below, above)) / (1 + resamples))
    return Interval(float(second.mean() - first.mean()), float(low), float(high)), p


def mcnemar_p(first: Floats, second: Floats) -> float:
    """Two-sided exact p that two systems are right equally often, from (n,) zeros and ones (McNemar 1947, exact binomial).

    Raises:
        ValueError: a value is neither 0 nor 1.
    """
    if not is_binary(first) or not is_binary(second):
        raise ValueError("McNemar's test needs zeros and ones")
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def is_binary(values: Floats) -> bool:
    """Whether all values are 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def adjusted(p_values: Sequence[float], correction: str) -> list[float]:
    """p-values of one family, adjusted by one of CORRECTIONS, in the order given."""
    by_name: dict[str, Callable[[Sequence[float]], list[float]]] = {
        "holm": holm,
        "bh": benjamini_hochberg,
        "none": list,
    }
    return by_name[correction](p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values in the order given (Holm 1979): bounds the chance of one false finding in the family."""
    order = np.argsort(p_values)
    m = len(p_values)
    out = np.empty(m)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        out[index] = running
    return out.tolist()


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Benjamini and Hochberg 1995): bounds the expected share of false findings."""
    return stats.false_discovery_control(p_values).tolist() if len(p_values) else []


def minimum_detectable(n: int, sd: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest mean difference that a two-sided test at `alpha` finds with probability `power`, in the values' unit.

    (z_{1 - alpha/2} + z_power) sd / sqrt(n), the normal approximation.

    Args:
        n: prompts.
        sd: of the paired differences, or of a win rate's per-prompt scores (0.5 where each is won or lost: the largest).
    """
    return float((special.ndtri(1 - alpha / 2) + special.ndtri(power)) * sd / np.sqrt(n))


def win_rate(base: Floats, tuned: Floats) -> float:
    """Share of prompts on which tuned is better, ties half; both (n,)."""
    return float(((tuned > base) + 0.5 * (tuned == base)).mean())
