"""Several reward models as one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from croco.engines.base import Answered
from croco.rewards.ensemble import Agreed, EnsembleScorer


class Said:
    def __init__(self, *values: float | None) -> None:
        self.values = list(values)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        return self.values

    def close(self) -> None:
        self.values = []


@pytest.mark.parametrize(("aggregate", "expected"), [("mean", 2.0), ("minimum", 1.0), ("pessimistic", 1.0)])
def test_by_hand(aggregate: str, expected: float) -> None:
    """1 and 3: mean 2, standard deviation 1. A member without a reward leaves none."""
    answers = [Answered([], "", "en", "{}")] * 2
    first, second = EnsembleScorer([Said(1.0, None), Said(3.0, 5.0)], aggregate).score(answers)
    assert isinstance(first, Agreed)
    assert (first, first.disagreement, second) == (expected, 1.0, None)
