"""A reward without error: the embedded world's gold quality, which training otherwise never sees."""

from __future__ import annotations

import json

from croco.tiny.grader import grade


def gold(messages: list[dict[str, str]], answer: str, language: str, meta: str | dict[str, object]) -> float:
    """f(messages, answer, language, meta) as `reward=function` calls it."""
    return float(grade(json.loads(meta) if isinstance(meta, str) else meta, language, answer).quality)
