"""What one accuracy hides, on numbers that can be followed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from croco.engines.base import Answered
from croco.evals.comparing import paired
from croco.evals.ranking import measures
from croco.evals.ranking.accuracy import CHOSEN, REJECTED, Item
from croco.evals.ranking.measures import Compared

SETTINGS = paired.Settings(200, 0.95)


def short_ones(longer: measures.Floats) -> Compared:
    """By a reward that prefers the shorter answer; nobody says how much better any is."""
    return Compared(-longer, longer, np.full(len(longer), np.nan))


def test_a_reward_for_short_answers_is_at_chance_once_balanced() -> None:
    """18 better answers are shorter and 6 longer; preferring the shorter one is right 18 of 24 times, 0 and 1 by kind."""
    longer = np.array([-3.0] * 18 + [4.0] * 6)
    balanced = short_ones(longer).balanced(SETTINGS)
    assert short_ones(longer).right.mean() == 0.75
    assert balanced is not None
    assert balanced.mean == 0.5
    assert short_ones(longer[:20]).balanced(SETTINGS) is None, "two longer ones tell nothing"


def test_balanced_accuracy_has_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(0)
    longer = rng.choice([-2.0, 3.0], 300, p=[0.8, 0.2])
    one = Compared(rng.normal(0.5, 1, 300), longer, np.full(300, np.nan))
    balanced = one.balanced(SETTINGS)
    assert balanced is not None
    kinds = [one.right[longer > 0].mean(), one.right[longer < 0].mean()]
    assert balanced.mean == pytest.approx(np.mean(kinds))
    assert balanced.low < balanced.mean < balanced.high


def test_log_loss_brier_and_calibration_by_hand() -> None:
    """Two pairs at sigmoid = 0.8, one of them wrong (that is, at 0.2): from both sides the bins of 0.8 and 0.2 are right half of
    the time, off by 0.3 each."""
    x = math.log(4)
    margin = np.array([x, -x])
    assert measures.log_loss(margin) == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2)
    assert measures.brier(margin) == pytest.approx((0.04 + 0.64) / 2)
    assert measures.calibration_error(margin) == pytest.approx(0.3)
    assert measures.calibration_error(np.zeros(5)) == pytest.approx(0.0)
    assert measures.log_loss(np.zeros(5)) == pytest.approx(math.log(2))


def test_lengths_come_from_the_answers_and_failed_rewards_leave_their_pair_out() -> None:
    asked = [{"role": "user", "content": "?"}]
    sides = {"1": ("long one", "no"), "2": ("x", "longer"), "3": ("a", "b")}
    items = [
        Item(prompt, kind, Answered(asked, text, "da", "{}"))
        for prompt, texts in sides.items()
        for kind, text in zip((CHOSEN, REJECTED), texts, strict=True)
    ]
    rewards: dict[tuple[str, str, str], float | None] = {item.key: float(i) for i, item in enumerate(items)}
    rewards["da", "3", REJECTED] = None
    (found,) = measures.compared(items, rewards, ["en", "da"]).values()
    assert found.longer.tolist() == [6, -5]
    assert found.margin.tolist() == [-1, -1]
    table = measures.by_length({"da": found}, SETTINGS)
    assert table is not None
    assert table.rows[0][:7] == ["da", 2, 0.0, 1, 1, 0.0, 0.0]
    assert measures.by_margin({"da": found}) is not None
    assert measures.by_said_margin({"da": found}, SETTINGS) is None, "nobody says by how much"


def test_accuracy_by_the_margins_that_the_data_say() -> None:
    """Ratings of 1 and 2 stand by themselves, in both languages; English is right where people were surer."""
    english = Compared(np.array([1.0, -1, 1, 1]), np.ones(4), np.array([1.0, 1, 2, 2]))
    danish = Compared(np.array([1.0, 1]), np.ones(2), np.array([2.0, np.nan]))
    table = measures.by_said_margin({"en": english, "da": danish}, SETTINGS)
    assert table is not None
    assert [row[:4] for row in table.rows] == [["en", "1", 2, 0.5], ["en", "2", 2, 1.0], ["da", "2", 1, 1.0]]
    assert table.note.endswith("1 pairs have none.")


def test_margins_of_many_values_are_told_by_quarters() -> None:
    """0 to 7: two each."""
    said = np.arange(8.0)
    table = measures.by_said_margin({"en": Compared(said - 4, np.ones(8), said)}, SETTINGS)
    assert table is not None
    labels = [("0 to 1", 0.0), ("2 to 3", 0.0), ("4 to 5", 0.75), ("6 to 7", 1.0)]
    assert [(row[1], row[3]) for row in table.rows] == labels
    assert {row[2] for row in table.rows} == {2}
