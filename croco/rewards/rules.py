"""Rules that can serve as rewards: f(messages, answer, language, meta) -> a number, or None where it cannot be told."""

from __future__ import annotations

from typing import Any

from croco.language import fidelity


def in_its_language(messages: list[dict[str, str]], answer: str, language: str, meta: dict[str, Any]) -> float | None:
    """1 where the answer is in the prompt's language, 0 where it is in another, None where it is too short to tell."""
    decided = fidelity.matches(language, answer)
    return None if decided is None else float(decided)
