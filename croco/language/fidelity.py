"""Is a text in the language it should be in? Identification by py3langid, whose model is inside its package.

Identification is restricted to the languages of conf/language (and some of other scripts, so that an answer in Chinese is not
called Maltese). Written standards too close to be told apart on an answer count as one: what a language may be identified as
is `identified_as` in its YAML (Danish, Bokmål and Nynorsk are one group). Code and links are not looked at. A text with fewer
than LEAST_LETTERS letters besides, or whose likeliest language is less than LEAST_MARGIN nats ahead of the next, is not
decided: callers count those, and never take them for right or wrong. (Of the first five and ten words of 1,500 real prompts in
eight languages, 32 of 49 below the margin were told right, and all but one above it.)
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from croco.config import languages
from croco.config.scripts import written_in
from croco.errors import UserError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_LETTERS = 20
LEAST_MARGIN = 5.0  # nats
MOST_CHARACTERS = 500  # enough to decide, and long answers cost no more
OTHER_SCRIPTS = ("ar", "el", "he", "hi", "ja", "ko", "ru", "th", "uk", "zh")
NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+", re.DOTALL)
LETTER = re.compile(r"[^\W\d_]")
DENSE_SCRIPT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # a sign says as much as several letters


@functools.cache
def known_languages() -> dict[str, tuple[str, ...]]:
    """What each language of conf/language may be identified as."""
    return {language: tuple(languages.settings(language).identified_as) for language in languages.known()}


@functools.lru_cache(maxsize=8)
def _identifier(among: tuple[str, ...], also: tuple[str, ...] = ()) -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    labels = {code for language in among for code in _codes(language)} | set(OTHER_SCRIPTS) | set(also)
    identifier.set_languages(sorted(labels & set(identifier.labels)))
    return identifier


def _codes(language: str) -> tuple[str, ...]:
    if language not in known_languages():
        raise UserError(f"language '{language}': conf/language/{language}.yaml is needed to identify it")
    return known_languages()[language]


def identify(texts: Sequence[str], among: Sequence[str] | None = None) -> list[str | None]:
    """The language code of each text, None where there is too little text to tell.

    Args:
        among: languages of conf/language that come into question; all of them by default. Fewer choices hide wrong ones.
    """
    identifier = _identifier(tuple(sorted(among if among is not None else known_languages())))
    return [_identify(identifier, text) for text in texts]


def _identify(identifier: LanguageIdentifier, text: str) -> str | None:
    prose = NOT_PROSE.sub(" ", text[: 2 * MOST_CHARACTERS])[:MOST_CHARACTERS]
    letters = len(LETTER.findall(prose)) + 3 * len(DENSE_SCRIPT.findall(prose))
    if letters < LEAST_LETTERS:
        return None
    (best, likeliest), *others = identifier.rank(prose)
    apart = next((score for code, score in others if code not in _one_group()[str(best)]), -float("inf"))
    return str(best) if likeliest - apart >= LEAST_MARGIN else None


@functools.cache
def _one_group() -> Mapping[str, set[str]]:
    """The codes that count as one with a code."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for codes in known_languages().values():
        for code in codes:
            groups[code] |= set(codes)
    return groups


def matches(language: str, text: str, among: Sequence[str] | None = None) -> bool | None:
    """Whether `text` is in `language` (a file of conf/language) or one that counts as it; None where it cannot be told, also of
    a language that identification does not know. Letters of another script than the file's `script` tell by themselves.

    Raises:
        UserError: conf/language has no such language.
    """
    codes = _codes(language)
    if written_in(text, languages.script_of(language)) is False:
        return False
    if not is_known(language):  # else every answer in it would be some other language's
        return None
    (found,) = identify([text], among)
    return None if found is None else found in codes


@functools.cache
def is_known(language: str) -> bool:
    """Whether identification can answer any of the codes that a language is `identified_as`."""
    return not set(_codes(language)).isdisjoint(_identifier(tuple(sorted(known_languages()))).labels)


def spoken(code: str, text: str) -> bool | None:
    """As `matches`, for any ISO 639-1 code: one that conf/language lacks comes into question beside those it has.

    None also for a language that identification does not know.
    """
    if code in known_languages():
        return matches(code, text)
    identifier = _identifier(tuple(sorted(known_languages())), (code,))
    found = _identify(identifier, text)
    return None if found is None or code not in identifier.labels else found == code
