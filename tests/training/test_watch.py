"""Verdicts on histories made by hand."""

from __future__ import annotations

import math

import pytest

from croco.training.verdict import drift, judged, verdict


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


def test_a_verdict_looks_at_held_out_answers_and_names_its_reason() -> None:
    """Healthy pairs; of the held-out answers 90 % ended by themselves before training and 17 % after: a real run's figures."""

    def look(ended: float, tokens: float, repetition: float = 0.1) -> dict[str, float]:
        return {"heldout_answer_ended": ended, "heldout_answer_tokens": tokens, "heldout_answer_repetition": repetition}

    rows = history(0.2, -0.5)
    worse = [rows[0] | look(0.9, 40), *rows[1:-1], rows[-1] | look(0.17, 79)]
    assert judged(worse) == (
        "worse answers",
        ["17% of the held-out answers ended by themselves, 90% before training"],
    )
    assert judged([rows[0] | look(0.9, 40), rows[-1] | look(0.8, 90)])[1] == [
        "held-out answers have 90 tokens, 40 before training"
    ]
    assert judged([rows[0] | look(0.9, 40), *rows[1:-1], rows[-1] | look(0.8, 60)]) == ("healthy", [])
    assert judged(history(0.001, 0.0)) == ("flat", ["a margin of 0.003 nats a pair after the last steps"])
