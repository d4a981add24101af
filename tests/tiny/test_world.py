"""The embedded world: parallel prompts, disjoint splits, and a grader whose grades are derived by hand."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croco.tiny import world, writer
from croco.tiny.grader import grade
from croco.tiny.lexicon import LANGUAGES, name

CAPITAL = {"task": "capital", "args": {"x": ["country", 0]}, "variant": 0}  # France
ANY_PROMPT = world.prompts("open", "heldout", 500, 0)
LIST = {"task": "list", "args": {"kind": "fruit", "n": 3}, "variant": 0}


@pytest.mark.parametrize(("kind", "count"), [("open", 500), ("structured", 400)])
def test_every_reference_is_perfect_in_every_language(kind: str, count: int) -> None:
    for p in world.prompts(kind, "heldout", count, 0):
        meta = json.loads(json.dumps({key: p[key] for key in ("task", "args", "variant")}))
        for language in LANGUAGES:
            assert grade(meta, language, p["reference"][language]).quality == 1.0, (p["prompt_id"], language)


def test_splits_share_no_question() -> None:
    train, heldout = (
        {(p["task"], json.dumps(p["args"])) for p in world.prompts("open", split, count, 3)}
        for split, count in (("train", 900), ("heldout", 500))
    )
    assert not train & heldout


def test_prompts_are_a_function_of_the_seed_and_balanced() -> None:
    first, again, other = (world.prompts("open", "train", 45, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert {p["task"] for p in first} == set(world.OPEN)
    with pytest.raises(ValueError, match="asked for"):
        world.prompts("open", "train", 10**6, 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("La capitale est Paris.", 1.0),
        ("Paris.", 0.6 + 0.2 * 0.5 + 0.2),  # right, closed by a full stop but no sentence, tidy
        ("Paris", 0.6 + 0.2),  # no form at all
        ("La capitale est Rome.", 0.2 + 0.2),  # wrong, well formed, tidy
        ("La capitale est Paris. La capitale est Paris.", 0.6 + 0.2 + 0.2 / 2),  # said twice
        ("La capitale", 0.2),  # unfinished: tidy is all it is
        ("La capitale est Paris ou Rome.", 0.2 + 0.2),  # two answers are no answer; `ou` is a word of the world
        ("", 0.0),
    ],
)
def test_grades_of_a_sentence_by_hand(answer: str, expected: float) -> None:
    assert grade(CAPITAL, "fr", answer).quality == pytest.approx(expected)


def test_another_language_costs_the_share_of_its_words() -> None:
    """Of `The capital is Paris.` only Paris is a French word: a quarter of 1."""
    got = grade(CAPITAL, "fr", "The capital is Paris.")
    assert (got.correct, got.language, got.quality) == (1.0, 0.25, 0.25)


@pytest.mark.parametrize(
    ("answer", "correct", "form", "tidy"),
    [
        ("apple, pear, peach.", 1, 1, 1),
        ("apple, pear, peach", 1, 0.5, 1),
        ("apple, pear.", 2 / 3, 1, 1),
        ("apple, pear, dog.", 1 / 3, 1, 1),  # two right, one wrong
        ("apple, pear, peach, lemon.", 2 / 3, 1, 1),  # one too many
        ("apple, apple, pear.", 2 / 3, 1, 2 / 3),  # two different of three
        ("apple pear peach", 0, 0.5, 1),  # one long item, and no full stop
    ],
)
def test_grades_of_a_list_by_hand(answer: str, correct: float, form: float, tidy: float) -> None:
    got = grade(LIST, "en", answer)
    assert (got.correct, got.form, got.tidy) == pytest.approx((correct, form, tidy))


@given(st.text(max_size=80), st.integers(0, 499), st.sampled_from(LANGUAGES))
def test_any_string_has_a_grade(answer: str, index: int, language: str) -> None:
    got = grade(ANY_PROMPT[index], language, answer)
    assert all(0.0 <= value <= 1.0 for value in (got.quality, got.correct, got.language, got.form, got.tidy))


@pytest.mark.parametrize(
    ("flaw", "part"), [("content", "correct"), ("language", "language"), ("form", "form"), ("tidy", "tidy")]
)
def test_each_flaw_of_the_writer_lowers_its_part_of_the_grade(flaw: str, part: str) -> None:
    rng = random.Random(0)
    flaws = writer.Flaws(**{flaw: 1.0})
    for p in world.prompts("open", "train", 90, 0):
        clean = [
            getattr(grade(p, "da", writer.write(rng, p["task"], p["args"], "da", writer.CLEAN)), part) for _ in range(8)
        ]
        flawed = [getattr(grade(p, "da", writer.write(rng, p["task"], p["args"], "da", flaws)), part) for _ in range(8)]
        assert min(clean) == 1.0
        if p["task"] not in ("repeat", "count") or flaw in ("content", "form"):
            assert sum(flawed) < sum(clean), (p["prompt_id"], flaw)


def test_names_are_true_translations_of_known_pairs() -> None:
    """A few spot checks against the dictionary, so that a shifted column cannot pass."""
    assert [name(("animal", 0), language) for language in LANGUAGES] == [
        "cat",
        "kat",
        "kat",
        "Katze",
        "chat",
        "gatto",
        "gato",
    ]
    assert name(("city", 4), "it") == "Copenaghen"
    assert name(("month", 11), "fr") == "décembre"
    assert world.solution("opposite", {"x": ["quality", 0]}) == ("quality", 1)
    assert world.solution("after", {"x": ["day", 6]}) == ("day", 0)
