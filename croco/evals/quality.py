"""Evaluation by a grading function: gold quality of held-out answers, base against tuned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from croco.errors import UserError
from croco.records import Generation, Prompt, Result

NAME = "quality"


def grade(
    grader: Callable[..., Any], prompts: Mapping[tuple[str, str], Prompt], answers: Sequence[Generation], system: str
) -> Iterator[Result]:
    """Every attribute of the grade that is a number, the answer's length and whether it ended, per answer.

    Raises:
        UserError: the grader cannot grade these prompts.
    """
    for answer in answers:
        prompt = prompts[answer.prompt_id, answer.language]
        try:
            graded = grader(json.loads(prompt.meta), answer.language, answer.text)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"evals.quality.grader: cannot grade prompt {prompt.prompt_id} ({type(error).__name__}: {error}); its `meta` "
                "must be what the grader expects; evals=none runs without"
            ) from None
        values = {name: float(getattr(graded, name)) for name in graded.__dataclass_fields__}
        values |= {"tokens": float(answer.tokens), "ended": float(answer.finish_reason == "stop")}
        for metric, value in values.items():
            yield Result(NAME, system, answer.prompt_id, answer.language, answer.sample, metric, value)
