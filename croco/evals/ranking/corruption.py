"""Answers that are worse than the one they are made from, in ways that need no judge: a reward model should see it.

Truncated: the first half. Shuffled: the same words in random order. Other language: another language's answer to the prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

KINDS = ("truncated", "shuffled", "other_language")


def corrupt(answer: str, translations: Mapping[str, str], key: str, seed: int) -> dict[str, str]:
    """Kind -> corrupted answer; a kind that would leave the answer as it is, or empty, is not there.

    Args:
        translations: the answers to the same prompt in other languages, by language.
        key: names the prompt and its language; with `seed` it decides what is drawn.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big"))
    words = answer.split()
    made = {"shuffled": _shuffled(words, rng)}
    half = len(words) // 2
    made["truncated"] = " ".join(words[:half]) if half else answer[: len(answer) // 2]
    if translations:
        made["other_language"] = translations[sorted(translations)[rng.integers(len(translations))]]
    same = " ".join(words)
    return {kind: made[kind] for kind in KINDS if made.get(kind, "").strip() and " ".join(made[kind].split()) != same}


def _shuffled(words: list[str], rng: np.random.Generator) -> str:
    """In another order than they came, where there is one."""
    if len(set(words)) < 2:
        return ""
    order = words
    while order == words:
        order = [words[i] for i in rng.permutation(len(words))]
    return " ".join(order)
