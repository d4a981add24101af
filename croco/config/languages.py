"""What conf/language says of each language."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from croco.config.paths import CONF
from croco.errors import UserError


@dataclass(frozen=True)
class Spoken:
    """A language as others call it."""

    english_name: str
    translategemma: str | None
    """Its code in TranslateGemma's chat template."""


@functools.cache
def spoken_of(language: str) -> Spoken:
    """What the file of a language says; there is one for every language that `croco.config.valid` lets through."""
    read = OmegaConf.load(CONF / "language" / f"{language}.yaml")
    return Spoken(str(read.english_name), read.translategemma)


@functools.cache
def english_names() -> dict[str, str]:
    """Language -> its name in English."""
    return {file.stem: spoken_of(file.stem).english_name for file in sorted((CONF / "language").glob("*.yaml"))}


def language_of(path: Path) -> str:
    """The language code in a file's name (`dolci_danish_scored.jsonl`, `da.jsonl`): its last part.

    Raises:
        UserError: conf/language has no such code or name.
    """
    name = re.sub(r"_scored$", "", path.stem.lower()).split("_")[-1]
    for file in sorted((CONF / "language").glob("*.yaml")):
        known = OmegaConf.load(file)
        if name in {file.stem, str(known.iso).lower(), known.english_name.lower(), known.own_name.lower()}:
            return file.stem
    raise UserError(f"{path}: '{name}' at the end of its name is no language of conf/language")
