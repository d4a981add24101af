"""Verdicts on histories made by hand."""

from __future__ import annotations

import math

import pytest

from croco.training.verdict import drift, verdict


def history(chosen: float, rejected: float, steps: int = 12) -> list[dict[str, float]]:
    """A straight line from 0 to so many nats per token against the reference, answers of 4 tokens."""
    return [
        {
            "chosen_against_reference": 4 * chosen * i / (steps - 1),
            "rejected_against_reference": 4 * rejected * i / (steps - 1),
            "chosen_tokens": 4.0,
            "rejected_tokens": 4.0,
            "margin": 4 * (chosen - rejected) * i / (steps - 1),
        }
        for i in range(steps)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (history(0.2, -0.5), "healthy"),
        (history(-0.5, -1.5), "likelihood displacement"),
        (history(-8.0, -11.0), "collapsed"),
        (history(0.001, 0.0), "flat"),
        ([*history(0.0, 0.0)[:-1], {**history(0, 0)[-1], "chosen_against_reference": math.nan}], "collapsed"),
        ([{"loss": 1.0}] * 9, "unknown"),
        (history(0.1, 0.3), "flat"),  # the rejected gained more: nothing learnt
        ([], "unknown"),
    ],
)
def test_verdict(rows: list[dict[str, float]], expected: str) -> None:
    assert verdict(rows) == expected


def test_drift_by_hand() -> None:
    """Two steps: (-2 - 6) nats over (4 + 4) tokens is -1 a token."""
    rows = [
        {"chosen_against_reference": -2.0, "chosen_tokens": 4.0},
        {"chosen_against_reference": -6.0, "chosen_tokens": 4.0},
    ]
    assert drift(rows, "chosen") == -1.0
