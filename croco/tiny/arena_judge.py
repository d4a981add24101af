"""A judge for the embedded world: the grader's marks of both answers, and a verdict in the form that models are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from croco.tiny.grader import grade


def judge(
    messages: Sequence[Mapping[str, str]], first: str, second: str, language: str, meta: Mapping[str, Any]
) -> str:
    """The better quality wins; equal ones tie."""
    one, two = (grade(meta, language, answer).quality for answer in (first, second))
    mark = "T" if one == two else "1" if one > two else "2"
    return f"Answer 1 has quality {one:.2f}, answer 2 has {two:.2f}.\n[[{mark}]]"
