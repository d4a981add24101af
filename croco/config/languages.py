"""What `conf/language/CODE.yaml` says of each language, the shipped ones and the user's own."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from croco.config import scripts
from croco.config.paths import files
from croco.errors import UserError

KEYS = (
    "iso",
    "own_name",
    "english_name",
    "euroeval",
    "m_arenahard",
    "m_rewardbench",
    "translategemma",
    "identified_as",
)


OPTIONAL = ("also_called", "script")
SUBTAG = re.compile(r"[a-z]{4}|[a-z]{2}|[0-9]{3}")  # script, region


@dataclass(frozen=True)
class Spoken:
    """A language as others call it."""

    english_name: str
    translategemma: str | None
    """Its code in TranslateGemma's chat template."""


def known() -> list[str]:
    """The codes of all languages."""
    return sorted(files("language"))


@functools.cache
def settings(language: str) -> DictConfig:
    """What the file of a language says.

    Raises:
        UserError: there is no such language, or a key is missing.
    """
    path = files("language").get(language)
    if path is None:
        raise UserError(
            f"lang.languages: unknown language '{language}'; known are {', '.join(known())} "
            f"(add conf/language/{language}.yaml for a new one)"
        )
    said = OmegaConf.load(path)
    assert isinstance(said, DictConfig)
    missing = [key for key in KEYS if key not in said]
    if missing:
        raise UserError(f"{path}: no {', '.join(missing)} (null where a data set does not have the language)")
    if said.get("script") not in (None, *scripts.NAMES):
        raise UserError(f"{path}: script: '{said.script}' is none of {', '.join(scripts.NAMES)} (ISO 15924)")
    return said


@functools.cache
def spoken_of(language: str) -> Spoken:
    """What the file of a language says; there is one for every language that `croco.config.valid` lets through."""
    said = settings(language)
    return Spoken(str(said.english_name), said.translategemma)


@functools.cache
def english_names() -> dict[str, str]:
    """Language -> its name in English."""
    return {language: spoken_of(language).english_name for language in known()}


@functools.cache
def _words() -> dict[str, tuple[str, ...]]:
    """Word, in lower case with hyphens -> the languages it may mean."""
    found: dict[str, tuple[str, ...]] = {}
    for code in known():
        said = settings(code)
        also = said.get("also_called") or ()
        for word in {str(w) for w in (said.iso, said.m_rewardbench, said.english_name, said.own_name, *also) if w}:
            found[_plain(word)] = (*found.get(_plain(word), ()), code)
    return {**found, **{_plain(code): (code,) for code in known()}}


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", "-", word.strip().lower())


def of_word(word: str, text: str | None = None) -> str | None:
    """The language that other people's word means: a code (`EN`, `eng`), a tag (`en-GB`, `eng_Latn`), a name (`English`).

    Args:
        text: in it; its letters tell files of one language apart that differ by `script`.
    """
    parts = _plain(word).split("-")
    found = _words().get("-".join(parts), ())
    if not found and all(SUBTAG.fullmatch(part) for part in parts[1:]):
        named = [part.title() for part in parts[1:] if len(part) == 4]
        if not set(named) <= set(scripts.NAMES):
            return None
        found = tuple(code for code in _words().get(parts[0], ()) if scripts.fits(script_of(code), named))
    if len(found) > 1 and text is not None:
        found = tuple(code for code in found if scripts.written_in(text, script_of(code)) is True)
    return found[0] if len(found) == 1 else None


def script_of(language: str) -> str | None:
    """The four letters of ISO 15924 for the letters it is written in, where its file says it."""
    script = settings(language).get("script")
    return None if script is None else str(script)


def language_of(path: Path) -> str:
    """The language code in a file's name (`dolci_danish_scored.jsonl`, `da.jsonl`): its last part.

    Raises:
        UserError: conf/language has no such code or name.
    """
    name = re.sub(r"_scored$", "", path.stem.lower()).split("_")[-1]
    if (found := of_word(name)) is not None:
        return found
    raise UserError(f"{path}: '{name}' at the end of its name is no language of conf/language")
