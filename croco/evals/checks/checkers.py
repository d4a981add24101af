"""Rules that an answer follows or not, under the instruction ids of IFEval (Zhou et al., arXiv 2311.07911).

A checker is a function of the answer, the prompt's language and the instruction's own arguments, which carry IFEval's names, so
that files of that format are read as they are. Departures:

1. Sentences are counted by end marks followed by white space or the end, without a trained splitter.
2. Languages are told by croco.evals.fidelity; as in IFEval, an answer too short to tell counts as right.
3. Quotation marks of all seven languages close a quotation, and a keyword begins and ends at a letter's edge.
4. `english_capital` and `english_lowercase` ask for the prompt's language, which is English in the original.
5. Ids of the multilingual versions and one of ours (`startend:start_checker`) are there beside the 25 of IFEval.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from croco.language import fidelity

WORD = re.compile(r"\w+(?:['’-]\w+)*")
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)")
BULLET = re.compile(r"^[ \t]*[*+•-](?![*+-])[ \t]*\S", re.MULTILINE)
HIGHLIGHT = re.compile(r"\*\*[^\n*]*\S[^\n*]*\*\*|\*[^\n*]*[^\s*][^\n*]*\*")
FENCE = re.compile(r"^```(?:json)?\s*|\s*```$", re.IGNORECASE)
QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("„", "”"), ("«", "»"), ("»", "«"), ("”", "”"))
OPTIONS = {
    "en": ("My answer is yes.", "My answer is no.", "My answer is maybe."),
    "da": ("Mit svar er ja.", "Mit svar er nej.", "Mit svar er måske."),
    "nl": ("Mijn antwoord is ja.", "Mijn antwoord is nee.", "Mijn antwoord is misschien."),
    "de": ("Meine Antwort ist ja.", "Meine Antwort ist nein.", "Meine Antwort ist vielleicht."),
    "fr": ("Ma réponse est oui", "Ma réponse est non", "Ma réponse est peut-être"),
    "it": ("La mia risposta è sì.", "La mia risposta è no.", "La mia risposta è forse."),
    "es": ("Mi respuesta es sí", "Mi respuesta es no", "Mi respuesta es tal vez"),
}


def holds(relation: str, count: int, bound: int) -> bool:
    """IFEval's two relations."""
    return count >= bound if relation == "at least" else count < bound


def _keyword(keyword: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(keyword)}(?!\w)", re.IGNORECASE)


def words(text: str) -> int:
    return len(WORD.findall(text))


def sentences(text: str) -> int:
    """End marks that close something, and a last sentence without one."""
    pieces = SENTENCE_END.split(text)
    return sum(bool(WORD.search(piece)) for piece in pieces)


def spoken(language: str, text: str) -> bool:
    """Whether the text is in the language, or too short to tell; capitals are no language."""
    return fidelity.spoken(language, text.lower() if text.isupper() else text) is not False


def number_words(text: str, language: str, *, relation: str, num_words: int) -> bool:
    return holds(relation, words(text), num_words)


def number_sentences(text: str, language: str, *, relation: str, num_sentences: int) -> bool:
    return holds(relation, sentences(text), num_sentences)


def number_paragraphs(text: str, language: str, *, num_paragraphs: int) -> bool:
    """Paragraphs are parted by `***`, none in the middle is empty."""
    pieces = [piece.strip() for piece in re.split(r"\s?\*\*\*\s?", text)]
    pieces = pieces[not pieces[0] :]
    pieces = pieces[:-1] if pieces and not pieces[-1] else pieces
    return all(pieces) and len(pieces) == num_paragraphs


def nth_paragraph_first_word(
    text: str, language: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Paragraphs are parted by blank lines."""
    pieces = [piece.strip() for piece in re.split(r"\n\s*\n", text) if piece.strip()]
    if len(pieces) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    found = WORD.search(pieces[nth_paragraph - 1])
    return found is not None and found.group().casefold() == first_word.casefold()


def number_bullet_lists(text: str, language: str, *, num_bullets: int) -> bool:
    """Exactly so many lines that start with a bullet."""
    return len(BULLET.findall(text)) == num_bullets


def number_highlighted_sections(text: str, language: str, *, num_highlights: int) -> bool:
    return len(HIGHLIGHT.findall(text)) >= num_highlights


def multiple_sections(text: str, language: str, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many heads `SECTION 1`, in any case."""
    return len(re.findall(rf"(?<!\w){re.escape(section_spliter)}\s?\d+", text, re.IGNORECASE)) >= num_sections


def number_placeholders(text: str, language: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\[\]\n]+\]", text)) >= num_placeholders


def postscript(text: str, language: str, *, postscript_marker: str) -> bool:
    """A line starts with the marker's letters, points and spaces between them optional."""
    letters = [character for character in postscript_marker if character.isalnum()]
    spaced = r"\.?\s?".join(map(re.escape, letters))
    return re.search(rf"^\W*{spaced}(?!\w)", text, re.IGNORECASE | re.MULTILINE) is not None


def title(text: str, language: str) -> bool:
    return re.search(r"<<[^\n<>]*\w[^\n<>]*>>", text) is not None


def json_format(text: str, language: str) -> bool:
    """The whole answer is one JSON value, a code fence around it or not."""
    bare = FENCE.sub("", text.strip()).strip()
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


def constrained_response(text: str, language: str, *, options: Sequence[str] = ()) -> bool:
    """One of the options is there; without options, one of IFEval's three in the prompt's language or in English."""
    chosen = options or (*OPTIONS.get(language, ()), *OPTIONS["en"])
    return any(option.casefold() in text.casefold() for option in chosen)


def existence(text: str, language: str, *, keywords: Sequence[str]) -> bool:
    return all(_keyword(keyword).search(text) for keyword in keywords)


def forbidden_words(text: str, language: str, *, forbidden_words: Sequence[str]) -> bool:
    return not any(_keyword(keyword).search(text) for keyword in forbidden_words)


def frequency(text: str, language: str, *, relation: str, keyword: str, frequency: int) -> bool:
    return holds(relation, len(_keyword(keyword).findall(text)), frequency)


def letter_frequency(text: str, language: str, *, let_relation: str, letter: str, let_frequency: int) -> bool:
    return holds(let_relation, text.casefold().count(letter.casefold()), let_frequency)


def response_language(text: str, language: str, *, language_: str) -> bool:
    return spoken(language_, text)


def capital_letters(text: str, language: str) -> bool:
    return text.isupper()


def lowercase_letters(text: str, language: str) -> bool:
    return text.islower()


def capital_in_language(text: str, language: str) -> bool:
    return text.isupper() and spoken(language, text)


def lowercase_in_language(text: str, language: str) -> bool:
    return text.islower() and spoken(language, text)


def capital_word_frequency(text: str, language: str, *, capital_relation: str, capital_frequency: int) -> bool:
    return holds(capital_relation, sum(word.isupper() for word in WORD.findall(text)), capital_frequency)


def no_comma(text: str, language: str) -> bool:
    return "," not in text


def start_checker(text: str, language: str, *, start_phrase: str) -> bool:
    return text.strip().strip('"“”„«»').casefold().startswith(start_phrase.strip().casefold())


def end_checker(text: str, language: str, *, end_phrase: str) -> bool:
    return text.strip().strip('"“”„«»').casefold().endswith(end_phrase.strip().casefold())


def quotation(text: str, language: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and any(bare.startswith(opens) and bare.endswith(closes) for opens, closes in QUOTES)


def two_responses(text: str, language: str) -> bool:
    """Two different answers with six asterisks between them."""
    pieces = [piece.strip() for piece in text.split("******")]
    filled = [piece for piece in pieces if piece]
    return all(pieces[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def repeat_prompt(text: str, language: str, *, prompt_to_repeat: str) -> bool:
    return text.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


CHECKERS: dict[str, Callable[..., bool]] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": capital_in_language,
    "change_case:english_lowercase": lowercase_in_language,
    "punctuation:no_comma": no_comma,
    "change_case:capital_letters": capital_letters,
    "change_case:lowercase_letters": lowercase_letters,
    "detectable_format:constrained_response_with_argument": constrained_response,
    "startend:start_checker": start_checker,
}


def problem(instruction: str, arguments: dict[str, Any]) -> str | None:
    """What is wrong with an instruction, None if it can be checked."""
    if instruction not in CHECKERS:
        return f"unknown instruction '{instruction}'; known are {', '.join(sorted(CHECKERS))}"
    parameters = inspect.signature(CHECKERS[instruction]).parameters.values()
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
    relations = [n for n, v in arguments.items() if n.endswith("relation") and v not in ("at least", "less than")]
    wrong += [f"{name}={arguments[name]!r} (neither 'at least' nor 'less than')" for name in relations]
    return f"{instruction}: {', '.join(wrong)}" if wrong else None


def follows(text: str, language: str, instruction: str, arguments: dict[str, Any]) -> bool:
    """Strictly: the answer as it is."""
    renamed = {f"{n}_" if n == "language" else n: value for n, value in arguments.items()}
    return bool(text.strip()) and CHECKERS[instruction](text, language, **renamed)


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
