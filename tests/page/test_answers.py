"""Which answers are shown, what is said of them, and the words in which two differ."""

from __future__ import annotations

import pyarrow as pa

from croco.page import answers
from croco.page.answers import Answer, Fared

COLUMNS = ("system", "prompt_id", "language", "sample", "metric", "value", "category")


def results(*rows: tuple[object, ...]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows])


def test_an_answer_fares_by_the_first_metric_there_is_and_by_its_instructions() -> None:
    """Two instructions of a kind, of which the tuned answer follows one; the second sample is not the one that is shown."""
    rows = [
        (system, "p", "da", sample, "prompt_strict", value, "")
        for system, sample, value in (("base", 0, 1.0), ("tuned", 0, 0.0), ("tuned", 1, 1.0))
    ]
    rows += [(system, "p", "da", 0, "followed_strict", 1.0, "length") for system in ("base", "base", "tuned")]
    rows += [
        ("tuned", "p", "da", 0, "followed_strict", 0.0, "length"),
        ("base", "q", "da", 0, "prompt_strict", 1.0, ""),
    ]
    metric, found = answers.fared(results(*rows), ("quality", "prompt_strict"))
    assert (metric, found) == ("prompt_strict", {("da", "p"): Fared(1.0, 0.0, {"length": (1.0, 0.5)})})
    (one,) = found.values()
    assert one.outcome == answers.WORSE
    assert one.told("all followed") == "all followed 1 → 0; length yes → 0.50"
    assert answers.fared(results(*rows), ("quality",)) == ("", {})


def test_the_worst_come_first_then_the_best_and_none_twice() -> None:
    gains = {"a": 0.0, "b": -1.0, "c": 0.5, "d": 1.0, "e": -0.5}
    found = {("da", name): Fared(0.0, gain, {}) for name, gain in gains.items()} | {("de", "a"): Fared(0.0, 9.0, {})}
    assert [key[1] for key in answers.worst_and_best(found, "da", 2)] == ["b", "e", "d", "c"]
    assert [key[1] for key in answers.worst_and_best(found, "da", 4)] == ["b", "e", "a", "c", "d"]


def shown(base: str, tuned: str) -> list[str]:
    return [said for _, said in answers.both(Answer("da", "?", base, tuned))]


def test_words_that_the_other_has_not_are_marked() -> None:
    assert shown("a red cat", "a blue cat!") == ["a <del>red</del> cat", "a <ins>blue</ins> cat<ins>!</ins>"]
    assert shown("same", "same") == ["same", "same"]
    assert shown("", "") == ["", ""]


def test_scripts_without_spaces_are_marked_sign_by_sign() -> None:
    assert shown("猫が好き", "犬が好き") == ["<del>猫</del>が好き", "<ins>犬</ins>が好き"]


def test_what_has_nothing_in_common_is_not_marked_and_nothing_is_markup() -> None:
    assert shown("one two three", "four, five!") == ["one two three", "four, five!"]
    assert shown("a <b> c", "a <i> c")[0] == "a &lt;<del>b</del>&gt; c"


def test_long_answers_are_cut_and_say_so() -> None:
    (base, _) = shown("x " * 4000, "x " * 100)
    assert "5,000 more characters" in base
