"""The words of the world: concepts with their names in seven languages, and the templates of prompts and answers.

Both are tables beside this file, one line per concept or template, one column per language. A concept is (kind, row).
"""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

LANGUAGES = ("en", "da", "nl", "de", "fr", "it", "es")
DATA = Path(__file__).parent / "data"

Concept = tuple[str, int]


@functools.cache
def _table(name: str) -> dict[str, list[dict[str, str]]]:
    """First column -> its lines, each language -> text."""
    table: dict[str, list[dict[str, str]]] = {}
    with (DATA / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(reader)
        for key, *texts in reader:
            table.setdefault(key, []).append(dict(zip(LANGUAGES, texts, strict=True)))
    return table


def names(kind: str) -> list[dict[str, str]]:
    """The concepts of a kind in the order of the table (which is the calendar's for days and months)."""
    return _table("lexicon")[kind]


def name(concept: Concept | list, language: str) -> str:
    kind, row = concept
    return names(kind)[row][language]


def concepts(kind: str) -> list[Concept]:
    return [(kind, row) for row in range(len(names(kind)))]


def template(key: str, language: str) -> str:
    return _table("templates")[key][0][language]


def words(text: str) -> list[str]:
    """The words of a text in lower case; digits and signs are none."""
    return re.findall(r"[^\W\d_]+", text.lower())


@functools.cache
def vocabulary(language: str) -> frozenset[str]:
    """Every word the world has in a language."""
    lines = [line[language] for table in ("lexicon", "templates") for rows in _table(table).values() for line in rows]
    return frozenset(word for line in lines for word in words(re.sub(r"\{\w+\}", " ", line)))


@functools.cache
def readings(kind: str) -> dict[str, frozenset[int]]:
    """Name in lower case, in any language -> rows of the kind it can stand for."""
    found: dict[str, set[int]] = {}
    for row, line in enumerate(names(kind)):
        for text in line.values():
            found.setdefault(text.lower(), set()).add(row)
    return {text: frozenset(rows) for text, rows in found.items()}
