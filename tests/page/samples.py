"""Pages made of synthetic results."""

from __future__ import annotations

import numpy as np

from croco import page
from croco.evals.comparing import changes, paired
from croco.page import multiples, pairs
from croco.page.answers import Answer
from croco.page.curves import Curve, Warned
from croco.show.tables import Table

LANGUAGES = ("en", "da", "nl", "de", "fr", "it", "es")
MEASURES = {
    "quality": 0.5,
    "language": 0.9,
    "tokens": 120.0,
    "ended": 0.8,
    "repetition": 0.05,
    "prompt_strict": 0.3,
    "form": 0.7,
}


def effect(language: str, level: float, difference: float) -> paired.Effect:
    """Of a hundred prompts."""
    low, high = difference - 0.04 * level, difference + 0.04 * level
    return paired.Effect(language, 100, 0, level, level + difference, difference, low, high, 0.01, 0.6, None)


def effects(number: int) -> list[paired.Effect]:
    """A system's, by language and their mean."""
    return [effect(one, 0.5, 0.01 * number) for one in (*LANGUAGES, paired.MACRO)]


def measured() -> list[changes.Measured]:
    """Measures that get better, worse and neither."""
    found = []
    for number, (name, level) in enumerate(MEASURES.items()):
        signs = (number % 3 - 1) * 0.08 * level
        found.append(
            changes.Measured("quality", name, [effect(one, level, signs) for one in (*LANGUAGES, paired.MACRO)])
        )
    return found


def drawn_pairs() -> pairs.Pairs:
    """Across languages, some of them cut off."""
    random = np.random.default_rng(0)
    kinds = {"all": 0.0, "chosen": 2.0, "rejected": -2.0}
    names = (*LANGUAGES, "all")
    return pairs.Pairs(
        {one: {kind: random.normal(mean, 1, 200) for kind, mean in kinds.items()} for one in names},
        {one: random.normal(4, 1, 200) for one in names},
        {one: np.rint(random.normal(3, 20, 200)) for one in names},
        {one: {"all": 0.1, "chosen": 0.02, "rejected": None} for one in names},
        {one: {other: 10 + (one == other) * 90 for other in LANGUAGES} for one in LANGUAGES},
    )


def page_of_all() -> page.Page:
    """Everything that a run's page may show."""
    words = "A rather long answer of several words, as a model gives them, to a question of someone."
    address = "policy-7-languages-mono-dpo-9c5a58491250954f"
    wide = Table(
        "Lineage",
        ("artifact", "address", "made by", "from", "at", "commit", "seed"),
        [
            (
                "report",
                f"report/{address}",
                "report, version 4",
                ", ".join([f"pairs {address}"] * 3),
                "2026",
                "0123abcd",
                1,
            )
        ],
    )
    numbers = ("language", *(f"a head of words {i}" for i in range(14)))
    return page.Page(
        title="croco: everything",
        headline="Quality went up.",
        changed=changes.changes(measured()),
        measures=[multiples.of_measured("Answers to held-out prompts", measured())],
        pairs=drawn_pairs(),
        numbers=[Table("Numbers", numbers, [(one, *[0.123] * 14) for one in LANGUAGES])],
        tables=[
            Table("Bounds", ("language", "win rate", "low", "high"), [("da", 0.6, 0.5, 0.7), ("macro", 0.6, 0.5, 0.7)])
        ],
        curves=[
            Curve("loss", [0, 10, 20], {"training": [1.0, 0.1, 0.01], "held out": [1.0, None, 0.2]}, log=True),
            Curve(
                "margin (nats)", [0, 20], {"training": [0.0, 0.01]}, reference=0.0, warned=[Warned(20, 0.01, "flat")]
            ),
        ],
        answers=[
            Answer("da", "Hvad?", "ja, det er det", "ja, det var det", "quality 0 → 1", "better", ("quality",)),
            Answer("en", "What?", words, words.replace("long", "short"), "quality 1 → 0", "worse", ("length",)),
            Answer("en", "Which?", words, "nothing in common", "quality 0 → 1", "better", ("length",)),
        ],
        settings={"seed": 1},
        more=[wide],
        verdict="flat",
        warnings=["training: a margin of 0.010 nats a pair after the last steps"],
    )
