"""Which steps are measured, and what they come to."""

from __future__ import annotations

import pytest

from croco.errors import UserError
from croco.evals.comparing import by_step, paired
from croco.page import by_step as drawn
from croco.page.curves import curve
from croco.training import kept


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, []),
        (4, [7, 14, 20]),  # 6.75, 13.5 (to even), 20.25
        (2, [14]),
        (100, list(range(1, 27))),
        ([9, 18], [9, 18]),
        ([18, 9, 9, 0, 27], [9, 18]),
        ([], []),
    ],
)
def test_steps_of_27(wanted: int | list[int] | None, expected: list[int]) -> None:
    assert kept.steps(wanted, 27) == expected


def test_a_step_behind_the_last_is_named() -> None:
    with pytest.raises(UserError, match=r"no step 28; training has 27 steps"):
        kept.steps([3, 28], 27)


def test_points_and_their_plots() -> None:
    """English goes 0, 0.5, 1 on both prompts, Danish stays at 0.5: the mean is 0.25, 0.5, 0.75; nothing varies within a
    language, so every interval is the value itself."""
    scores = {
        step: {"en": {"a": value, "b": value}, "da": {"a": 0.5, "b": 0.5}}
        for step, value in ((0, 0.0), (3, 0.5), (9, 1.0))
    }
    found = by_step.points("quality", scores, ["en", "da"], paired.Settings(100, 0.95))
    assert [(p.language, p.step) for p in found] == [(lang, s) for lang in ("en", "da", "macro") for s in (0, 3, 9)]
    assert [p.value for p in found] == [0, 0.5, 1, 0.5, 0.5, 0.5, 0.25, 0.5, 0.75]
    assert all(p.low == p.value == p.high for p in found)
    assert [p.effect and p.effect.difference for p in found] == [None, 0.5, 1, None, 0, 0, None, 0.25, 0.5]
    first, *others = drawn.curves(found, 0.95)
    assert "mean over languages" in first.title
    assert first.lines == {"quality": [0.25, 0.5, 0.75]}
    assert len(others) == 2
    assert 'class="band filled c0"' in curve(first)
    assert len(by_step.table(found, 0.95).rows) == 9


def test_an_interval_covers_its_value() -> None:
    """Two prompts at 0 and 1: resampled means lie between, the mean in the middle."""
    scores = {0: {"en": {"a": 0.0, "b": 1.0}}}
    point = by_step.points("quality", scores, ["en"], paired.Settings(1000, 0.95))[0]
    assert (point.low, point.value, point.high) == (0.0, 0.5, 1.0)
