"""Verdicts on histories made by hand."""

from __future__ import annotations

import math

import pytest

from croco.training.watch import verdict


def history(chosen: float, rejected: float, margin: float, steps: int = 12) -> list[dict[str, float]]:
    """A straight line from (-1, -1, 0) to the values given."""
    return [
        {
            "chosen_logp_per_token": -1 + (chosen + 1) * i / (steps - 1),
            "rejected_logp_per_token": -1 + (rejected + 1) * i / (steps - 1),
            "margin": margin * i / (steps - 1),
        }
        for i in range(steps)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (history(-0.8, -1.5, 9.0), "healthy"),
        (history(-1.5, -2.5, 9.0), "likelihood displacement"),
        (history(-9.0, -12.0, 60.0), "collapsed"),
        (history(-1.0, -1.0, 0.01), "flat"),
        ([*history(-1.0, -1.0, 0.0)[:-1], {**history(-1, -1, 0)[-1], "chosen_logp_per_token": math.nan}], "collapsed"),
        (history(-0.8, -1.5, 9.0)[:1], "unknown"),
        ([{"loss": 1.0}] * 9, "unknown"),
    ],
)
def test_verdict(rows: list[dict[str, float]], expected: str) -> None:
    assert verdict(rows) == expected


def test_two_steps_are_compared_with_one_another() -> None:
    assert verdict(history(-9.0, -12.0, 60.0, steps=2)) == "collapsed"
