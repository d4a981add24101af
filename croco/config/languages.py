"""What `conf/language/CODE.yaml` says of each language, the shipped ones and the user's own."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

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


def language_of(path: Path) -> str:
    """The language code in a file's name (`dolci_danish_scored.jsonl`, `da.jsonl`): its last part.

    Raises:
        UserError: conf/language has no such code or name.
    """
    name = re.sub(r"_scored$", "", path.stem.lower()).split("_")[-1]
    for code in known():
        said = settings(code)
        if name in {code, str(said.iso).lower(), said.english_name.lower(), said.own_name.lower()}:
            return code
    raise UserError(f"{path}: '{name}' at the end of its name is no language of conf/language")
