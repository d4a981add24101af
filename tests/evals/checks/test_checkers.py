"""Every rule on answers that were judged by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croco.evals.checks import checkers

OFFICIAL = 25
DANISH = "Jeg kan godt lide at læse bøger om aftenen, når børnene er lagt i seng."
ENGLISH = "I like to read books in the evening when the children have gone to bed."
CASES: list[tuple[str, dict[str, Any], str, list[str], list[str]]] = [
    # instruction, arguments, language, answers that follow it, answers that do not
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "en", ["one two three"], ["one two"]),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, "fr", ["l'eau bleue"], ["a b c"]),
    (
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 2},
        "en",
        ["One. Two.", "Is it 3.5? Yes", 'He said "no." She went.'],
        ["It costs 3.5 euros.", "One..."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        "en",
        ["a\n***\nb", "***\na\n***\nb\n***"],
        ["a\n\nb", "a\n***\n\n***\nb", "a\n***\nb\n***\nc"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "hello"},
        "en",
        ["One.\n\n“Hello there."],
        ["Hello.\n\nOne.", "One.\n\nHelloed.", "One.\n\nHello.\n\nThree."],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        "en",
        ["* a\n* b", "Some:\n- a\n  - b"],
        ["* a", "* a\n* b\n* c", "**a**\n**b**", "---\n* a"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "en",
        ["*a* and **b c**"],
        ["*a*", "* a\n* b", "** ** *a*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "en",
        ["SECTION 1\na\nSection 2\nb"],
        ["SECTION 1\na", "SECTION one SECTION two"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        "en",
        ["[name], [address]"],
        ["[name]", "[] []", "[[name]]"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        "en",
        ["Yes.\nP.S. No.", "Yes.\nPS: no", "Yes.\n**P. S.** no"],
        ["Yes.", "The P.S. is missing", "Yes.\nPsalm"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        "en",
        ["Yes.\nP.P.S no"],
        ["Yes.\nP.S. no"],
    ),
    ("detectable_format:title", {}, "en", ["<<A day>>\ntext"], ["<A day>", "<< >>", "<<a\nb>>"]),
    (
        "detectable_format:json_format",
        {},
        "en",
        ['{"a": [1, 2]}', '```json\n{"a": 1}\n```', '```\n["a"]\n```'],
        ["{'a': 1}", 'Here: {"a": 1}', '{"a": 1} done'],
    ),
    (
        "detectable_format:constrained_response",
        {},
        "de",
        ["Meine Antwort ist ja.", "My answer is no."],
        ["Ja.", "Mit svar er ja."],
    ),
    (
        "detectable_format:constrained_response_with_argument",
        {"options": ["Mit svar er ja."]},
        "da",
        ["Mit svar er ja."],
        ["Mit svar er nej."],
    ),
    ("keywords:existence", {"keywords": ["hus", "ven"]}, "da", ["En ven i et HUS."], ["Et husdyr og en ven.", "ven"]),
    ("keywords:forbidden_words", {"forbidden_words": ["hus"]}, "da", ["Husdyr."], ["Et Hus!"]),
    (
        "keywords:frequency",
        {"relation": "at least", "keyword": "i morgen", "frequency": 2},
        "da",
        ["I morgen, i morgen."],
        ["I morgen tidlig, om morgenen."],
    ),
    (
        "keywords:letter_frequency",
        {"let_relation": "less than", "letter": "E", "let_frequency": 2},
        "en",
        ["the cat"],
        ["the eel"],
    ),
    ("language:response_language", {"language": "da"}, "en", [DANISH, "Ja.", DANISH.upper()], [ENGLISH]),
    ("combination:two_responses", {}, "en", ["a******b", "a\n******\nb\n******"], ["a", "a******a", "a******b******c"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "en", ["say hi. Hi!"], ["Hi! Say hi."]),
    ("startend:start_checker", {"start_phrase": "Dear reader"}, "en", ["dear reader, hi", '"Dear reader"'], ["Hi"]),
    (
        "startend:end_checker",
        {"end_phrase": "That is all."},
        "en",
        ["Hi. That is all.", "“that is all.”"],
        ["That is all. Hi"],
    ),
    ("startend:quotation", {}, "de", ['"Ja."', "„Ja.“", "«Oui»", "»Ja.«"], ["Ja.", '"Ja.', '"']),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        "en",
        ["NEVER say NEVER"],
        ["NEVER say Never"],
    ),
    ("change_case:english_capital", {}, "en", [ENGLISH.upper(), "YES"], [ENGLISH, DANISH.upper()]),
    ("change_case:english_lowercase", {}, "da", [DANISH.lower()], [DANISH, ENGLISH.lower()]),
    ("change_case:capital_letters", {}, "da", [DANISH.upper(), "ÆØÅ 1"], [DANISH, "123"]),
    ("change_case:lowercase_letters", {}, "da", [DANISH.lower()], [DANISH]),
    ("punctuation:no_comma", {}, "en", ["One; two."], ["One, two."]),
]


@pytest.mark.parametrize(("instruction", "arguments", "language", "right", "wrong"), CASES, ids=lambda v: str(v)[:40])
def test_by_hand(
    instruction: str, arguments: dict[str, Any], language: str, right: list[str], wrong: list[str]
) -> None:
    assert checkers.problem(instruction, arguments) is None
    for answer in right:
        assert checkers.follows(answer, language, instruction, arguments), answer
    for answer in wrong:
        assert not checkers.follows(answer, language, instruction, arguments), answer


def test_every_checker_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(checkers.CHECKERS)
    ours = {"change_case:capital_letters", "change_case:lowercase_letters", "startend:start_checker"}
    ours |= {"detectable_format:constrained_response_with_argument"}
    assert len(set(checkers.CHECKERS) - ours) == OFFICIAL


def test_loose_readings() -> None:
    """A chatty first line, a last line, and markdown around the answer are forgiven; what is missing is not."""
    title = ("startend:start_checker", {"start_phrase": "Dear reader"})
    for answer in ("Sure, here it is:\nDear reader, hi", "**Dear reader**, hi"):
        assert not checkers.follows(answer, "en", *title)
        assert checkers.follows_loosely(answer, "en", *title)
    assert checkers.follows_loosely("{}\nThat was it.", "en", "detectable_format:json_format", {})
    assert checkers.follows_loosely("Sure:\n{}\nDone.", "en", "detectable_format:json_format", {})
    assert not checkers.follows_loosely("Sure:\nHi reader", "en", *title)


def test_an_empty_answer_follows_nothing() -> None:
    assert not checkers.follows(" \n", "en", "punctuation:no_comma", {})
    assert not checkers.follows_loosely("", "en", "punctuation:no_comma", {})


@settings(max_examples=50, deadline=None)
@given(st.text(), st.sampled_from([(case[0], case[1], case[2]) for case in CASES if "language" not in case[0]]))
def test_strict_implies_loose_on_any_text(text: str, case: tuple[str, dict[str, Any], str]) -> None:
    """And no text makes a checker fail."""
    instruction, arguments, language = case
    if checkers.follows(text.strip(), language, instruction, arguments):
        assert checkers.follows_loosely(text.strip(), language, instruction, arguments)


@pytest.mark.parametrize(
    ("instruction", "arguments", "says"),
    [
        ("keywords:exist", {}, "unknown instruction 'keywords:exist'"),
        ("punctuation:no_comma", {"n": 1}, "takes no arguments, not"),
        ("keywords:existence", {}, "takes ['keywords'], not []"),
        ("length_constraints:number_words", {"relation": "around", "num_words": 3}, "neither 'at least'"),
        ("detectable_format:number_bullet_lists", {"num_bullets": "3"}, "num_bullets='3'"),
    ],
)
def test_what_cannot_be_checked(instruction: str, arguments: dict[str, Any], says: str) -> None:
    problem = checkers.problem(instruction, arguments)
    assert problem is not None
    assert says in problem
