"""What conf/language says of each language."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from omegaconf import OmegaConf

from croco.config.paths import CONF


@dataclass(frozen=True)
class Spoken:
    """A language as others call it."""

    english_name: str
    translategemma: str | None
    """Its code in TranslateGemma's chat template."""


@functools.cache
def spoken_of(language: str) -> Spoken:
    """What the file of a language says; there is one for every language that `croco.config.checks` lets through."""
    read = OmegaConf.load(CONF / "language" / f"{language}.yaml")
    return Spoken(str(read.english_name), read.translategemma)


@functools.cache
def english_names() -> dict[str, str]:
    """Language -> its name in English."""
    return {file.stem: spoken_of(file.stem).english_name for file in sorted((CONF / "language").glob("*.yaml"))}
