"""Answers of mixed quality: what the policies were pretrained on, and what the reward model learns to tell apart.

An answer is drawn flaw by flaw, each independently of the others: wrong content, another language, no proper form, and
said twice or stretched, broken off.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from croco.tiny import world
from croco.tiny.lexicon import LANGUAGES, Concept, concepts, name, names


@dataclass(frozen=True)
class Flaws:
    """Probability of each flaw."""

    content: float = 0.0
    unfinished: float = 0.0
    language: float = 0.0
    form: float = 0.0
    tidy: float = 0.0


CLEAN = Flaws()
MIXED = Flaws(content=0.22, unfinished=0.2, language=0.12, form=0.35, tidy=0.3)


def write(rng: random.Random, task: str, args: dict[str, Any], language: str, flaws: Flaws) -> str:
    """One answer to an open prompt asked in `language`."""
    if rng.random() < flaws.language:
        language = rng.choice([other for other in LANGUAGES if other != language])
    if task in ("capital", "opposite", "after", "kind", "add"):
        return _sentence(rng, task, args, language, flaws)
    return _list(rng, task, args, language, flaws)


def _sentence(rng: random.Random, task: str, args: dict[str, Any], language: str, flaws: Flaws) -> str:
    answer = world.solution(task, args)
    if rng.random() < flaws.content:
        answer = _other(rng, task, args, answer)
    text = world.sentence(task, args, answer, language)
    if rng.random() < flaws.form:
        bare = str(answer) if isinstance(answer, int) else name(answer, language)
        return bare + rng.choice(["", "."])
    if rng.random() < flaws.unfinished:
        return " ".join(text.split()[: -rng.choice([1, 2])])
    if rng.random() < flaws.tidy:
        text = " ".join([text] * rng.choice([2, 3]))
    return text


def _other(rng: random.Random, task: str, args: dict[str, Any], answer: Concept | int) -> Concept | int:
    """A wrong answer of the right sort."""
    if isinstance(answer, int):
        return max(0, answer + rng.choice([-3, -2, -1, 1, 2, 3, 10]))
    if task == "kind":
        return rng.choice([(f"a {kind}", 0) for kind in world.KINDS if kind != args["x"][0]])
    return rng.choice([c for c in concepts(answer[0]) if c != answer])


def _list(rng: random.Random, task: str, args: dict[str, Any], language: str, flaws: Flaws) -> str:
    items = _items(rng, task, args, language)
    if rng.random() < flaws.content:
        items = _spoil(rng, task, args, language, items)
    if rng.random() < flaws.unfinished:
        items = items[: rng.randint(1, max(1, len(items) - 1))]
    if rng.random() < flaws.tidy:
        items += items[-1:] * rng.choice([1, 2, 3]) if rng.random() < 0.5 else items
    numbered = "\n".join(f"{i}. {item}" for i, item in enumerate(items, start=1))
    plain = ", ".join(items) + "."
    if rng.random() >= flaws.form:
        return numbered if task == "numbered" else plain
    return rng.choice([", ".join(items), " ".join(items), plain if task == "numbered" else " ".join(items) + "."])


def _items(rng: random.Random, task: str, args: dict[str, Any], language: str) -> list[str]:
    if task == "count":
        return [str(i) for i in range(args["a"], args["b"] + 1)]
    if task == "repeat":
        return [name(args["x"], language)] * args["n"]
    rows = rng.sample(range(len(names(args["kind"]))), args["n"])
    return [name((args["kind"], row), language) for row in rows]


def _spoil(rng: random.Random, task: str, args: dict[str, Any], language: str, items: list[str]) -> list[str]:
    """A list that is too long or has a wrong member."""
    how = rng.choice(["long", "wrong"])
    if task == "count":
        end = int(items[-1])
        if how == "long":
            return items + [str(end + i) for i in range(1, rng.randint(2, 4))]
        place = rng.randrange(len(items))
        return [*items[:place], str(int(items[place]) + rng.choice([1, 2, 5])), *items[place + 1 :]]
    if task == "repeat":
        return (
            items + items[:1] * rng.randint(1, 3)
            if how == "long"
            else [*items[:-1], _foreign(rng, args["x"][0], language)]
        )
    if how == "long":
        rows = names(args["kind"])
        fresh = [row[language] for row in rows if row[language] not in items]
        return items + rng.sample(fresh, min(len(fresh), rng.randint(1, 3)))
    wrong = rng.sample(range(len(items)), rng.randint(1, len(items)))
    return [_foreign(rng, args["kind"], language) if i in wrong else item for i, item in enumerate(items)]


def _foreign(rng: random.Random, kind: str, language: str) -> str:
    """A word of another kind."""
    other = rng.choice([k for k in world.LISTABLE if k != kind])
    return rng.choice(names(other))[language]
