"""Every rule on answers that were judged by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croco.evals.checks import checkers, following

DANISH = "Jeg kan godt lide at læse bøger om aftenen, når børnene er lagt i seng."
ENGLISH = "I like to read books in the evening when the children have gone to bed."
CASES: list[tuple[str, dict[str, Any], str, list[str], list[str]]] = [
    # instruction, arguments, language, answers that follow it, answers that do not
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "en", ["one two three"], ["one two"]),
    (
        "length_constraints:number_words",
        {"relation": "less than", "num_words": 4},
        "fr",
        ["l'eau bleue"],
        ["l'homme d'ici"],
    ),
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
        ["* a", "* a\n* b\n* c", "**a**\n**b**", "+ a\n* b"],
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
        ["[name]", "[[name]]", "[a\nb] [c]"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        "en",
        ["Yes.\nP.S. No.", "Yes. p.s. no", "Yes.\n**P. S.** no"],
        ["Yes.", "Yes.\nPS: 150 hk", "Yes.\nPsalm", "the shop.s."],
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
    ("keywords:existence", {"keywords": ["hus", "ven"]}, "da", ["En ven i et HUS.", "husdyr, venner"], ["ven"]),
    ("keywords:existence", {"keywords": ["Straße", "cafe\u0301"]}, "de", ["STRASSE, Caf\u00e9"], ["Strase, Café"]),
    (
        "special_character:tildes",
        {"relation": "como máximo", "num_words": 1},
        "es",
        ["Está aquí".replace("í", "i")],
        ["Está aquí"],
    ),
    ("special_character:enie", {"let_frequency": 2}, "es", ["El niño y la NIÑA"], ["El niño", "ñ ñ ñ"]),
    ("special_character:dieresis", {"let_frequency": 1}, "es", ["un pingüino"], ["un pinguino", "ü ü"]),
    ("special_character:ethel_or_cedilla", {"forbidden_char": "œ"}, "fr", ["coeur"], ["CŒUR"]),
    ("special_character:accents", {}, "fr", ["été"], ["ete"]),
    ("special_character:no_accents", {}, "fr", ["ete"], ["e\u0301te"]),
    ("punctuation:question_marks", {}, "es", ["Sí. ¿Y tú?"], ["¿?", "Y tú?"]),
    ("punctuation:exclamation_marks", {}, "es", ["¡Hola!"], ["Hola!", "¡ !"]),
    ("detectable_content:no_digits", {}, "fr", ["deux"], ["2"]),
    ("detectable_content:informal_address", {}, "fr", ["Tu viens", "je t'aime"], ["Vous venez", "une tulipe"]),
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
    assert following.problem(instruction, arguments) is None
    for answer in right:
        assert following.follows(answer, language, instruction, arguments), answer
    for answer in wrong:
        assert not following.follows(answer, language, instruction, arguments), answer


def test_every_checker_has_a_case() -> None:
    twins = {f"change_case:{name}_{case}" for name in ("spanish", "french") for case in ("capital", "lowercase")}
    assert {case[0] for case in CASES} == set(following.CHECKERS) - twins


@pytest.mark.parametrize(
    ("instruction", "arguments", "language", "follows", "does_not"),
    [
        ("es:detectable_format:constrained_response", {}, "es", "Quizás.", "Mi respuesta es sí"),
        ("fr:detectable_format:constrained_response", {}, "fr", "Oui.", "Sans doute"),
        ("fr:detectable_format:title", {}, "fr", "##hymne##", "# hymne"),
        ("es:startend:end_checker", {"end_phrase": "Un saludo"}, "es", "Adiós. Un saludo.", "Un saludo. Adiós"),
        ("fr:length_constraints:number_words", {"relation": "moins de", "num_words": 2}, "fr", "un", "un deux"),
        ("es:length_constraints:number_words", {"relation": "como máximo", "num_words": 2}, "es", "uno dos", "1 2 3"),
        ("en:punctuation:no_comma", {}, "en", "a b", "a, b"),
    ],
)
def test_m_ifevals_ids(instruction: str, arguments: dict[str, Any], language: str, follows: str, does_not: str) -> None:
    """With their language before them, their own words for relations, and four rules that are other than IFEval's."""
    assert following.problem(instruction, arguments) is None
    assert following.follows(follows, language, instruction, arguments)
    assert not following.follows(does_not, language, instruction, arguments)


def test_a_numbered_list_is_as_many_sentences_as_items() -> None:
    assert checkers.sentences("1. One.\n2. Two.\n10. Ten.") == 3
    assert checkers.sentences("It was 1999. Then came 2000.") == 2


def test_words_are_ifevals() -> None:
    """The sentence of the issue: IFEval counts each side of an apostrophe."""
    assert checkers.words("l'homme d'aujourd'hui") == 5


def test_loose_readings() -> None:
    """A chatty first line, a last line, and markdown around the answer are forgiven; what is missing is not."""
    title = ("startend:start_checker", {"start_phrase": "Dear reader"})
    for answer in ("Sure, here it is:\nDear reader, hi", "**Dear reader**, hi"):
        assert not following.follows(answer, "en", *title)
        assert following.follows_loosely(answer, "en", *title)
    assert following.follows_loosely("{}\nThat was it.", "en", "detectable_format:json_format", {})
    assert following.follows_loosely("Sure:\n{}\nDone.", "en", "detectable_format:json_format", {})
    assert not following.follows_loosely("Sure:\nHi reader", "en", *title)


def test_an_empty_answer_follows_nothing() -> None:
    assert not following.follows(" \n", "en", "punctuation:no_comma", {})
    assert not following.follows_loosely("", "en", "punctuation:no_comma", {})


@settings(max_examples=50, deadline=None)
@given(st.text(), st.sampled_from([(case[0], case[1], case[2]) for case in CASES if "language" not in case[0]]))
def test_strict_implies_loose_on_any_text(text: str, case: tuple[str, dict[str, Any], str]) -> None:
    """And no text makes a checker fail."""
    instruction, arguments, language = case
    if following.follows(text.strip(), language, instruction, arguments):
        assert following.follows_loosely(text.strip(), language, instruction, arguments)


@pytest.mark.parametrize(
    ("instruction", "arguments", "says"),
    [
        ("keywords:exist", {}, "unknown instruction 'keywords:exist'"),
        ("punctuation:no_comma", {"n": 1}, "takes no arguments, not"),
        ("keywords:existence", {}, "takes ['keywords'], not []"),
        ("length_constraints:number_words", {"relation": "around", "num_words": 3}, "(none of 'at least'"),
        ("detectable_format:number_bullet_lists", {"num_bullets": "3"}, "num_bullets='3'"),
    ],
)
def test_what_cannot_be_checked(instruction: str, arguments: dict[str, Any], says: str) -> None:
    problem = following.problem(instruction, arguments)
    assert problem is not None
    assert says in problem
