"""What 95 % intervals cover, by simulation: skewed, tied and binary scores, few prompts and many, clustered translations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from croco.maths import statistics

REPLICATES = 600
RESAMPLES = 600
LOW, HIGH = 0.93, 0.97
ERROR = 2.5 * np.sqrt(0.95 * 0.05 / REPLICATES)
"""Of the simulation itself."""
Rng = np.random.Generator


def skewed(rng: Rng, *shape: int) -> np.ndarray:
    """Differences of two exponential scores, one of them larger: mean 0.5."""
    return 1.5 * rng.exponential(size=shape) - rng.exponential(size=shape)


def tied(rng: Rng, *shape: int) -> np.ndarray:
    """Half of the prompts tied: mean 0.1."""
    return rng.choice([-0.5, 0.0, 0.5, 1.0], p=[0.25, 0.5, 0.15, 0.1], size=shape) - 0.05 + 0.1


def binary(rng: Rng, *shape: int) -> np.ndarray:
    """One system right and the other wrong, or the other way round: mean 0.2."""
    return rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.4, 0.4], size=shape)


MEANS = {skewed: 0.5, tied: -0.125 + 0.075 + 0.1 + 0.05, binary: 0.2}


def covered(draw: Callable[[Rng], np.ndarray], mean: float, macro: bool = False) -> float:
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(REPLICATES):
        made = (statistics.bootstrap_macro if macro else statistics.bootstrap_mean)(draw(rng), RESAMPLES, 0.95, seed)
        found += made.low - 1e-9 <= mean <= made.high + 1e-9
    return found / REPLICATES


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("scores", MEANS, ids=lambda f: f.__name__)
def test_95_percent_cover_93_to_97(scores: Callable[..., np.ndarray], n: int) -> None:
    share = covered(lambda rng: scores(rng, n), MEANS[scores])
    assert LOW - ERROR <= share <= HIGH + ERROR


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100])
def test_translations_of_a_prompt_are_one_unit(n: int) -> None:
    """Four languages share most of a prompt's difference; a tenth of the translations is missing."""

    def draw(rng: Rng) -> np.ndarray:
        table = skewed(rng, 1, n) + 0.3 * rng.normal(size=(4, n))
        table[rng.random((4, n)) < 0.1] = np.nan
        return table

    share = covered(draw, MEANS[skewed], macro=True)
    assert LOW - ERROR <= share <= HIGH + ERROR


@pytest.mark.slow
def test_seeds_and_prompts_are_both_in_the_interval() -> None:
    """Ten seeds and fifty prompts; with three seeds a bootstrap of them is too narrow, and that is what is said beside claims."""
    rng = np.random.default_rng(0)
    found = {3: 0, 10: 0}
    for seed in range(300):
        for seeds in found:
            effects = 0.3 * rng.normal(size=(seeds, 1)) + rng.normal(size=(1, 50)) + 0.5 * rng.normal(size=(seeds, 50))
            made, _ = statistics.bootstrap_hierarchical(np.zeros((1, 50)), effects, RESAMPLES, 0.95, seed)
            found[seeds] += made.low <= 0 <= made.high
    assert 0.92 <= found[10] / 300 <= 0.985
    assert found[3] / 300 <= found[10] / 300 + 0.02
