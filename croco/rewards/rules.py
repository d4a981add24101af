"""Rules that can serve as rewards: f(messages, answer, language, meta) -> a number, or None where it cannot be told."""

from __future__ import annotations

from typing import Any

from croco.evals.checks import following
from croco.language import fidelity
from croco.language.repetition import repeated_share

INSTRUCTIONS, LANGUAGE, REPETITION, LENGTH = 2.0, 1.5, 1.0, 0.01
"""What following all instructions, the right language, nothing but repetition and a word beyond FREE_WORDS count."""
CANNOT_TELL = 0.3  # of LANGUAGE, for an answer too short to tell
FREE_WORDS = 40


def in_its_language(messages: list[dict[str, str]], answer: str, language: str, meta: dict[str, Any]) -> float | None:
    """1 where the answer is in the prompt's language, 0 where it is in another, None where it is too short to tell."""
    decided = fidelity.matches(language, answer)
    return None if decided is None else float(decided)


def followed(messages: list[dict[str, str]], answer: str, language: str, meta: dict[str, Any]) -> float | None:
    """Share of the prompt's instructions that are followed, right language, repetition and length, weighted as above; None for
    a prompt without instructions, as those of `prompts=checks` and of files in IFEval's format have.

    The right language is the prompt's, or the one that an instruction asks for. A length beyond FREE_WORDS costs, or the longest
    answers win wherever an instruction can be met by writing on.
    """
    instructions = meta.get("instructions")
    if not instructions:
        return None
    marks = [following.follows(answer, language, i["id"], i["arguments"]) for i in instructions]
    asked = [i["arguments"]["language"] for i in instructions if i["id"] == "language:response_language"]
    spoken = fidelity.spoken(asked[-1] if asked else language, answer.lower() if answer.isupper() else answer)
    return (
        INSTRUCTIONS * sum(marks) / len(marks)
        + LANGUAGE * (CANNOT_TELL if spoken is None else float(spoken))
        - REPETITION * repeated_share(answer)
        - LENGTH * max(len(answer.split()) - FREE_WORDS, 0)
    )
