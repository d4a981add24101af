"""Rules that an answer follows or not, under the instruction ids of IFEval (Zhou et al., arXiv 2311.07911) and M-IFEval
(Dussolle et al., arXiv 2502.04688), whose ids begin with a language (`es:length_constraints:number_words`).

A checker is a function of the answer, the prompt's language and the instruction's own arguments, which carry IFEval's names, so
that files of these formats are read as they are. Answers and arguments are compared casefolded and in Unicode's composed form.
Words are counted as IFEval does, runs of letters and digits: `l'homme` is two. Of the published marks of 17 models 99 % and more
are ours, too (tests/evals/checks/test_published.py). Departures:


1. Sentences are counted by end marks followed by white space or the end, without a trained splitter.
2. Languages are told by croco.language.fidelity; as in IFEval, an answer too short to tell counts as right.
3. Quotation marks of all seven languages close a quotation.
4. `english_capital` and `english_lowercase` ask for the prompt's language, which is English in the original.
5. A letter that is none (`#`) is counted as asked for; IFEval draws a letter at random in its place.
6. Highlights are counted once each, where IFEval counts a bold one by two patterns.
7. M-IFEval counts Spanish words by a trained splitter.
8. Ids of the multilingual versions and one of ours (`startend:start_checker`) are there beside the 25 of IFEval.
"""

from __future__ import annotations

import json
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence

from croco.language import fidelity

WORD = re.compile(r"\w+")
SHOUTED = re.compile(r"\w+(?:['’-]\w+)*")
"""What may be a word in capitals: `R2-D2` is one."""
SENTENCE_END = re.compile(r"(?<!^\d)(?<!^\d\d)(?<!\s\d)(?<!\s\d\d)[.!?…]+[\"'”’»)\]*_]*(?=\s|$)", re.MULTILINE)
"""Not the point behind the number of a list item."""
BULLET = re.compile(r"^\s*(?:\*[^*\n]|-)", re.MULTILINE)
"""IFEval's: an asterisk that is alone, or a dash."""
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


RELATIONS: dict[str, Callable[[int, int], bool]] = {
    **dict.fromkeys(("at least", "al menos", "au moins"), operator.ge),
    **dict.fromkeys(("less than", "moins de"), operator.lt),
    **dict.fromkeys(("at most", "como máximo"), operator.le),
}
"""IFEval's two, and M-IFEval's: Spanish `como máximo` counts the bound itself."""
TILDES, ENIE, DIERESIS = "áéíóú", "ñ", "ü"
ACCENTED = re.compile("[àáâãäåçèéêëìíîïñòóôõöùúûüýÿ]")
TU = re.compile(r"\b(?:tu|te|t['’]|toi|ton|ta|tes)\b|\bt['’]")


def holds(relation: str, count: int, bound: int) -> bool:
    return RELATIONS[relation](count, bound)


def folded(text: str) -> str:
    """For comparing: `Straße` and `STRASSE` are one, as are both ways of writing an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _whole(word: str) -> re.Pattern[str]:
    """A word with letters' edges around it, in folded text."""
    return re.compile(rf"(?<!\w){re.escape(folded(word))}(?!\w)")


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
    return found is not None and folded(found.group()) == folded(first_word)


def number_bullet_lists(text: str, language: str, *, num_bullets: int) -> bool:
    """Exactly so many lines that start with a bullet."""
    return len(BULLET.findall(text)) == num_bullets


def number_highlighted_sections(text: str, language: str, *, num_highlights: int, relation: str = "at least") -> bool:
    return holds(relation, len(HIGHLIGHT.findall(text)), num_highlights)


def multiple_sections(
    text: str, language: str, *, section_spliter: str, num_sections: int, relation: str = "at least"
) -> bool:
    """So many heads `SECTION 1`, in any case."""
    heads = re.findall(rf"(?<!\w){re.escape(folded(section_spliter))}\s?\d+", folded(text))
    return holds(relation, len(heads), num_sections)


def number_placeholders(text: str, language: str, *, num_placeholders: int, relation: str = "at least") -> bool:
    return holds(relation, len(re.findall(r"\[.*?\]", text)), num_placeholders)


def postscript(text: str, language: str, *, postscript_marker: str) -> bool:
    """The marker stands somewhere: initials with their points and optional spaces between, anything else as it is."""
    initials = re.fullmatch(r"(?:\w\.\s?)+\w?\.?", postscript_marker)
    marker = folded(postscript_marker)
    parts = [f"{re.escape(letter)}\\." for letter in marker if letter.isalnum()] if initials else [re.escape(marker)]
    if not marker.endswith("."):
        parts[-1] = parts[-1].removesuffix("\\.")
    return re.search(r"(?<!\w)" + r"\s?".join(parts), folded(text)) is not None


def title(text: str, language: str) -> bool:
    return any(found.strip("<> ") for found in re.findall(r"<<[^\n]+>>", text))


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
    return any(folded(option) in folded(text) for option in chosen)


def existence(text: str, language: str, *, keywords: Sequence[str]) -> bool:
    """Each somewhere, inside a longer word as well."""
    return all(folded(keyword) in folded(text) for keyword in keywords)


def forbidden_words(text: str, language: str, *, forbidden_words: Sequence[str]) -> bool:
    """None as a word of its own."""
    return not any(_whole(word).search(folded(text)) for word in forbidden_words)


def frequency(text: str, language: str, *, relation: str, keyword: str, frequency: int) -> bool:
    """Inside longer words as well."""
    return holds(relation, folded(text).count(folded(keyword)), frequency)


def letter_frequency(text: str, language: str, *, let_relation: str, letter: str, let_frequency: int) -> bool:
    return holds(let_relation, folded(text).count(folded(letter)), let_frequency)


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
    return holds(capital_relation, sum(word.isupper() for word in SHOUTED.findall(text)), capital_frequency)


def no_comma(text: str, language: str) -> bool:
    return "," not in text


def start_checker(text: str, language: str, *, start_phrase: str) -> bool:
    return folded(text.strip().strip('"“”„«»')).startswith(folded(start_phrase.strip()))


def end_checker(text: str, language: str, *, end_phrase: str) -> bool:
    return folded(text.strip().strip('"“”„«»')).endswith(folded(end_phrase.strip()))


def quotation(text: str, language: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and any(bare.startswith(opens) and bare.endswith(closes) for opens, closes in QUOTES)


def two_responses(text: str, language: str) -> bool:
    """Two different answers with six asterisks between them."""
    pieces = [piece.strip() for piece in text.split("******")]
    filled = [piece for piece in pieces if piece]
    return all(pieces[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def repeat_prompt(text: str, language: str, *, prompt_to_repeat: str) -> bool:
    return folded(text.strip()).startswith(folded(prompt_to_repeat.strip()))


def question_marks(text: str, language: str) -> bool:
    """A question between Spanish marks."""
    return re.search(r"¿[^?]*[^\s¿?][^?]*\?", text) is not None


def exclamation_marks(text: str, language: str) -> bool:
    return re.search(r"¡[^!]*[^\s¡!][^!]*!", text) is not None


def _words_with(text: str, letters: str) -> int:
    return sum(any(letter in word for letter in letters) for word in SHOUTED.findall(folded(text)))


def tildes(text: str, language: str, *, relation: str, num_words: int) -> bool:
    """Words with a stressed vowel."""
    return holds(relation, _words_with(text, TILDES), num_words)


def enie(text: str, language: str, *, let_frequency: int) -> bool:
    """Exactly so many words with ñ."""
    return _words_with(text, ENIE) == let_frequency


def dieresis(text: str, language: str, *, let_frequency: int) -> bool:
    """Exactly so many words with ü."""
    return _words_with(text, DIERESIS) == let_frequency


def forbidden_char(text: str, language: str, *, forbidden_char: str) -> bool:
    return folded(forbidden_char) not in folded(text)


def accents(text: str, language: str) -> bool:
    return ACCENTED.search(folded(text)) is not None


def no_accents(text: str, language: str) -> bool:
    return not accents(text, language)


def no_digits(text: str, language: str) -> bool:
    return not any(character.isdigit() for character in text)


def informal_address(text: str, language: str) -> bool:
    """A pronoun of the second person singular, or its possessive."""
    return TU.search(folded(text)) is not None


def one_word_response(text: str, language: str) -> bool:
    """M-IFEval's own options, after which nothing is asked."""
    options = {"es": ("Sí.", "No.", "Quizás."), "fr": ("Oui.", "Non.", "Peut-être.")}
    return any(folded(option) in folded(text) for option in options[language])


def title_in_hashes(text: str, language: str) -> bool:
    """M-IFEval's French title, `##hymne à la joie##`."""
    return title(text, language) or any(found.strip("# ") for found in re.findall(r"##[^\n]+##", text))


def end_or_point(text: str, language: str, *, end_phrase: str) -> bool:
    """M-IFEval's Spanish end: a point may follow the phrase."""
    return end_checker(text.strip().strip('"').rstrip("."), language, end_phrase=end_phrase.strip().rstrip("."))
