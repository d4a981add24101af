"""Graders: what they may return, and what is said of those that cannot grade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from croco.artifacts.records import Generation, Prompt
from croco.errors import UserError
from croco.evals import quality

PROMPTS = {("p", "en"): Prompt("p", "en", [{"role": "user", "content": "Where?"}], "heldout")}


@dataclass(frozen=True, slots=True)
class Grade:
    quality: float
    note: str = "any text"


def graded(grader: Callable[..., Any], text: str) -> dict[str, float | None]:
    answer = Generation("p", "en", 0, text, [1, 2], "length", 3, 2, 0, "model", "revision")
    return {row.metric: row.value for row in quality.grade(grader, PROMPTS, [answer], "base")}


@pytest.mark.parametrize("grade", [Grade(0.5), SimpleNamespace(quality=0.5)])
def test_a_grade_needs_quality_alone(grade: Any) -> None:
    values = graded(lambda meta, language, answer: grade, "The cat sat on the mat, and the dog was asleep beside it.")
    assert values == {"quality": 0.5, "language": 1.0, "tokens": 2.0, "ended": 0.0}


def test_too_little_text_has_no_fidelity() -> None:
    assert graded(lambda meta, language, answer: Grade(1.0), "ok")["language"] is None


def test_the_grades_own_language_is_kept() -> None:
    grade = SimpleNamespace(quality=1.0, language=0.25)
    assert graded(lambda meta, language, answer: grade, "ok")["language"] == 0.25


@pytest.mark.parametrize("grade", [None, 0.5, SimpleNamespace(score=1.0)])
def test_a_grade_without_quality_is_named(grade: Any) -> None:
    with pytest.raises(UserError, match=r"evals\.quality\.grader: its grade of prompt p is .* no number `quality`"):
        graded(lambda meta, language, answer: grade, "ok")


def test_a_prompt_that_cannot_be_graded_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot grade prompt p \(en; KeyError: 'task'\)"):
        graded(lambda meta, language, answer: Grade(meta["task"]), "ok")
