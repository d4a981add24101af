"""The gold quality of any answer, in plain Python:

    quality = language * (0.6 correct + 0.2 form + 0.2 tidy)

correct   what was asked for is there and nothing wrong is, by concept, in whatever language; partial credit for lists
language  share of the answer's words that exist in the prompt's language
form      the full sentence, comma list or numbered list that was asked for, closed by a full stop
tidy      nothing is said twice or added
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from croco.tiny import world
from croco.tiny.lexicon import LANGUAGES, readings, template, vocabulary, words

SENTENCES = ("capital", "opposite", "after", "kind", "add")
KIND_PHRASES = tuple(f"a {kind}" for kind in world.KINDS)


@dataclass(frozen=True)
class Grade:
    """All in [0, 1]."""

    quality: float
    correct: float
    language: float
    form: float
    tidy: float


def grade(meta: Mapping[str, Any], language: str, answer: str) -> Grade:
    """Grade an answer to the prompt that `meta` (task, args, variant) describes."""
    task, args = meta["task"], meta["args"]
    answer = answer.strip()
    if not answer:
        return Grade(0.0, 0.0, 0.0, 0.0, 0.0)
    if task in world.STRUCTURED:
        right = float(answer == world.reference(task, args, language))
        return Grade(right, right, right, right, right)
    if task in SENTENCES:
        correct, form, tidy = _sentence(task, args, answer)
    else:
        correct, form, tidy = _list(task, args, answer)
    spoken = words(answer)
    share = sum(w in vocabulary(language) for w in spoken) / len(spoken) if spoken else 1.0
    return Grade(share * (0.6 * correct + 0.2 * form + 0.2 * tidy), correct, share, form, tidy)


def _sentence(task: str, args: Mapping[str, Any], answer: str) -> tuple[float, float, float]:
    """(correct, form, tidy) of a task whose answer is one sentence."""
    parts = [p for p in re.split(r"(?<=[.!?])\s+|\n+", answer) if p.strip()]
    form = 1.0 if any(p.fullmatch(parts[0]) for p in _skeletons(task)) else 0.5 if parts[0].endswith(".") else 0.0
    wanted = world.solution(task, dict(args))
    if isinstance(wanted, int):
        numbers = [int(n) for n in re.findall(r"\d+", answer)]
        correct = bool(numbers) and numbers[-1] == wanted and set(numbers) <= {args["a"], args["b"], wanted}
    else:
        given = tuple(args["x"]) if task == "after" else None
        said = _mentioned(wanted[0], answer) if task != "kind" else _mentioned_kinds(answer)
        correct = wanted in said and all(c in (wanted, given) for c in said)
    return float(correct), form, 1.0 / len(parts)


@functools.cache
def _skeletons(task: str) -> tuple[re.Pattern[str], ...]:
    """The sentence of a task in every language, with anything short in its gaps."""
    return tuple(
        re.compile(
            re.escape(template(f"{task}!", lang)).replace(r"\{x\}", r"[^.]{1,30}").replace(r"\{y\}", r"[^.]{1,30}")
        )
        for lang in LANGUAGES
    )


def _mentioned(kind: str, answer: str) -> set[tuple[str, int]]:
    """Concepts of a kind that an answer names; a name with two readings counts as the first of them."""
    return {(kind, min(readings(kind)[word])) for word in words(answer) if word in readings(kind)}


def _mentioned_kinds(answer: str) -> set[tuple[str, int]]:
    text = f" {' '.join(words(answer))} "
    return {(kind, 0) for kind in KIND_PHRASES for phrase in readings(kind) if f" {' '.join(words(phrase))} " in text}


def _list(task: str, args: Mapping[str, Any], answer: str) -> tuple[float, float, float]:
    """(correct, form, tidy) of a task whose answer is a list."""
    numbered = task == "numbered"
    items = _items(answer)
    if numbered:
        form = float(bool(items) and answer == "\n".join(f"{i}. {item}" for i, item in enumerate(items, start=1)))
    elif answer == ", ".join(items) + ".":
        form = 1.0
    else:
        form = 0.5 if answer == ", ".join(items) else 0.0
    distinct = len({i.lower() for i in items})
    if task == "count":
        return _count(args, items), form, distinct / max(1, len(items))
    if task == "repeat":
        kind, row = args["x"]
        right = sum(row in readings(kind).get(i.lower(), ()) for i in items)
        return _clip(1 - (abs(right - args["n"]) + len(items) - right) / args["n"]), form, 1.0
    known = readings(args["kind"])
    right = len({min(known[i.lower()]) for i in items if i.lower() in known})
    wrong = sum(i.lower() not in known for i in items)
    return (
        _clip((min(right, args["n"]) - wrong - max(0, right - args["n"])) / args["n"]),
        form,
        distinct / max(1, len(items)),
    )


def _items(answer: str) -> list[str]:
    """The parts of a list, without numbering and full stop."""
    parts = answer.removesuffix(".").split("\n") if "\n" in answer else answer.removesuffix(".").split(",")
    items = [re.sub(r"^\s*\d+\.\s", "", part).strip() for part in parts]
    return [item for item in items if item]


def _count(args: Mapping[str, Any], items: list[str]) -> float:
    wanted = [str(i) for i in range(args["a"], args["b"] + 1)]
    if items == wanted:
        return 1.0
    return min(0.75, SequenceMatcher(None, items, wanted, autojunk=False).ratio() ** 2)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
