"""A JSON object that a model wrote as the whole of its answer."""

from __future__ import annotations

import json
import re
from typing import Any

FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?```", re.DOTALL)
STRING = r'"([^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
"""A regular expression of JSON's strings, less those that name a character by its number."""


def whole(said: str) -> dict[str, Any] | None:
    """The object that a text is, also one in a fence as models put around JSON; None of any other text."""
    fenced = FENCE.fullmatch(said.strip())
    try:
        found = json.loads(fenced[1] if fenced else said)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
