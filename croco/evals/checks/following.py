"""Whether an answer follows an instruction: which checker an id of IFEval or M-IFEval means, with its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from croco.evals.checks import checkers as c

CHECKERS: dict[str, Callable[..., bool]] = {
    "keywords:existence": c.existence,
    "keywords:frequency": c.frequency,
    "keywords:forbidden_words": c.forbidden_words,
    "keywords:letter_frequency": c.letter_frequency,
    "language:response_language": c.response_language,
    "length_constraints:number_sentences": c.number_sentences,
    "length_constraints:number_paragraphs": c.number_paragraphs,
    "length_constraints:number_words": c.number_words,
    "length_constraints:nth_paragraph_first_word": c.nth_paragraph_first_word,
    "detectable_content:number_placeholders": c.number_placeholders,
    "detectable_content:postscript": c.postscript,
    "detectable_format:number_bullet_lists": c.number_bullet_lists,
    "detectable_format:constrained_response": c.constrained_response,
    "detectable_format:number_highlighted_sections": c.number_highlighted_sections,
    "detectable_format:multiple_sections": c.multiple_sections,
    "detectable_format:json_format": c.json_format,
    "detectable_format:title": c.title,
    "combination:two_responses": c.two_responses,
    "combination:repeat_prompt": c.repeat_prompt,
    "startend:end_checker": c.end_checker,
    "startend:quotation": c.quotation,
    "change_case:capital_word_frequency": c.capital_word_frequency,
    "change_case:english_capital": c.capital_in_language,
    "change_case:english_lowercase": c.lowercase_in_language,
    "punctuation:no_comma": c.no_comma,
    "change_case:capital_letters": c.capital_letters,
    "change_case:lowercase_letters": c.lowercase_letters,
    "detectable_format:constrained_response_with_argument": c.constrained_response,
    "startend:start_checker": c.start_checker,
    "change_case:spanish_capital": c.capital_in_language,
    "change_case:spanish_lowercase": c.lowercase_in_language,
    "change_case:french_capital": c.capital_in_language,
    "change_case:french_lowercase": c.lowercase_in_language,
    "special_character:tildes": c.tildes,
    "special_character:enie": c.enie,
    "special_character:dieresis": c.dieresis,
    "special_character:ethel_or_cedilla": c.forbidden_char,
    "special_character:accents": c.accents,
    "special_character:no_accents": c.no_accents,
    "punctuation:question_marks": c.question_marks,
    "punctuation:exclamation_marks": c.exclamation_marks,
    "detectable_content:no_digits": c.no_digits,
    "detectable_content:informal_address": c.informal_address,
}


OF_A_LANGUAGE: dict[str, Callable[..., bool]] = {
    "es:detectable_format:constrained_response": c.one_word_response,
    "fr:detectable_format:constrained_response": c.one_word_response,
    "fr:detectable_format:title": c.title_in_hashes,
    "es:startend:end_checker": c.end_or_point,
}
"""Where M-IFEval's rule is another one than IFEval's."""


LANGUAGE = re.compile(r"[a-z]{2}:(?=\w+:)")
"""Before the ids of M-IFEval."""


def kind(instruction: str) -> str:
    """An instruction's id without its language."""
    return LANGUAGE.sub("", instruction)


def checker(instruction: str) -> Callable[..., bool] | None:
    """The rule of an id, None where there is none."""
    return OF_A_LANGUAGE.get(instruction) or CHECKERS.get(kind(instruction))


def problem(instruction: str, arguments: dict[str, Any]) -> str | None:
    """What is wrong with an instruction, None if it can be checked."""
    rule = checker(instruction)
    if rule is None:
        return f"unknown instruction '{instruction}'; known are {', '.join(sorted(CHECKERS))}"
    parameters = inspect.signature(rule).parameters.values()
    settings = {p.name.rstrip("_"): p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    missing = [n for n, p in settings.items() if p.default is inspect.Parameter.empty and n not in arguments]
    unknown = sorted(set(arguments) - set(settings))
    if missing or unknown:
        return f"{instruction} takes {sorted(settings) or 'no arguments'}, not {sorted(arguments)}"
    wrong = [
        f"{name}={value!r}"
        for name, value in arguments.items()
        if name.startswith("num_") and not isinstance(value, int)
    ]
    relations = [n for n, v in arguments.items() if n.endswith("relation") and v not in c.RELATIONS]
    wrong += [f"{name}={arguments[name]!r} (none of {', '.join(map(repr, c.RELATIONS))})" for name in relations]
    return f"{instruction}: {', '.join(wrong)}" if wrong else None


def follows(text: str, language: str, instruction: str, arguments: dict[str, Any]) -> bool:
    """Strictly: the answer as it is."""
    renamed = {f"{n}_" if n == "language" else n: value for n, value in arguments.items()}
    rule = checker(instruction)
    assert rule is not None, "instructions are looked at when they are read"
    return bool(text.strip()) and rule(text, language, **renamed)


def follows_loosely(text: str, language: str, instruction: str, arguments: dict[str, Any]) -> bool:
    """One of IFEval's eight readings: without its first line, last line, both, each with and without asterisks."""
    return any(follows(reading, language, instruction, arguments) for reading in readings(text))


def readings(text: str) -> Iterator[str]:
    """The eight, from the text itself."""
    lines = text.split("\n")
    for part in (lines, lines[1:], lines[:-1], lines[1:-1]):
        reading = "\n".join(part).strip()
        yield reading
        yield reading.replace("*", "")
