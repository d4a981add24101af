"""The rate and the time left, while rows that are written side by side are not over."""

from __future__ import annotations

import math

import pytest

from croco.show import pace
from croco.show.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_loading_is_no_part_of_the_rate(clock: list[float]) -> None:
    """A minute to load, then 16 tokens a second: no row is over, and the first look already tells what it is."""
    counted = Pace(32, longest=100)
    clock[0] += 60
    for _ in range(5):
        counted.written(16)
        clock[0] += 1
    assert counted.rate == pytest.approx(64 / 5)
    assert counted.left == pytest.approx((32 * 100 - 80) / (64 / 5))  # none has ended: all may be as long as they can


def test_the_time_left_counts_rows_that_are_not_over(clock: list[float]) -> None:
    """100 rows, 50 at a time, of which every second ends at its 10th token and the others at the limit of 40, a step a second.

    At 20 s: 10 x 50 + 10 x 25 = 750 tokens, 25 ends; h = 1/30, expected length 30 (1 - e^(-40/30)) = 22.1, so 2,209 - 750 tokens
    are left at 37.5 (less the first step's) a second: 39.9 s. In truth it is 60 s; counting rows would say 25 of 100 in 20 s.
    """
    counted = Pace(100, longest=40)
    for step in range(20):
        counted.written(50 if step < 10 else 25)
        clock[0] += 1
        if step == 9:
            for _ in range(25):
                counted.advance(1, 10)
    expected = 30 * (1 - math.exp(-40 / 30))
    assert counted.left == pytest.approx((100 * expected - 750) / (700 / 20))


def test_a_rate_looks_back_a_minute(clock: list[float]) -> None:
    """1 token a second for ten minutes, then 9: after another minute the rate is 9."""
    counted = Pace(10)
    for second in range(660):
        clock[0] += 1
        counted.written(1 if second < 600 else 9)
    assert counted.rate == pytest.approx(9, rel=0.02)


def test_rows_made_elsewhere_leave_the_rate_of_rows(clock: list[float]) -> None:
    """20 of 100 in 10 s, half of them by others: 80 more take 40 s."""
    counted = Pace(100)
    clock[0] += 10
    counted.advance(10, 300)
    counted.advance(10, 0)
    assert counted.left == pytest.approx(40)


def test_more_than_were_to_be_made_leave_no_time_below_zero(clock: list[float]) -> None:
    """A unit of a lost worker that was not lost is made twice."""
    pace = Pace(4)
    clock[0] += 10
    pace.advance(6, 0)
    assert pace.left == 0


def test_all_made_is_no_time_left(clock: list[float]) -> None:
    counted = Pace(2, longest=8)
    clock[0] += 1
    counted.advance(1, 8)
    counted.advance(1, 3)
    assert counted.left == 0
