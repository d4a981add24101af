"""Evaluation by a grading function: gold quality of held-out answers, base against tuned."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from croco.artifacts.records import Generation, Prompt, Result
from croco.config import functions
from croco.errors import UserError
from croco.language import fidelity

NAME = "quality"


def grade(
    grader: Callable[..., Any],
    prompts: Mapping[tuple[str, str], Prompt],
    answers: Sequence[Generation],
    system: str,
    seconds: float | None = None,
) -> Iterator[Result]:
    """Every attribute of the grade that is a number, the answer's length and whether it ended, per answer.

    Language fidelity is the grade's `language` where it has one, else language identification, None where that cannot tell.

    Raises:
        UserError: the grader cannot grade these prompts, takes longer than `seconds`, or its grades have no quality.
    """
    for answer in answers:
        prompt = prompts[answer.prompt_id, answer.language]
        try:
            with functions.within(seconds):
                graded = grader(json.loads(prompt.meta), answer.language, answer.text)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's own, of any kind
            raise UserError(
                f"evals.quality.grader: cannot grade prompt {prompt.prompt_id} ({prompt.language}; {functions.reason(error)}); "
                "its `meta` must be what the grader expects; evals=none runs without"
            ) from error
        values = _numbers(graded)
        if "quality" not in values:
            raise UserError(
                f"evals.quality.grader: its grade of prompt {prompt.prompt_id} is {graded!r}, which has no number `quality`"
            )
        if "language" not in values:
            spoken = fidelity.matches(answer.language, answer.text)
            values["language"] = None if spoken is None else float(spoken)
        values |= {"tokens": float(answer.tokens), "ended": float(answer.finish_reason == "stop")}
        for metric, value in values.items():
            yield Result(NAME, system, answer.prompt_id, answer.language, answer.sample, metric, value)


def _numbers(graded: Any) -> dict[str, float | None]:
    """The numeric attributes of a grade, a dataclass (with slots, too) or any object that keeps them itself."""
    if dataclasses.is_dataclass(graded):
        attributes = {field.name: getattr(graded, field.name) for field in dataclasses.fields(graded)}
    else:
        attributes = dict(getattr(graded, "__dict__", {}))
    found: dict[str, float | None] = {}
    for name, value in attributes.items():
        with suppress(TypeError):  # texts and the like are no measurements
            if value is not None:
                found[name] = functions.number(value)
    return found
