"""An arena's questions: the rows of m-ArenaHard (Cohere Labs), from the hub or from files of the same columns.

    question_id, category, subcategory, prompt, language

Translations share `question_id`. A file holds several languages (`language` names each row's), or one, which its name says
(`da.jsonl`). Languages are called by any of their names in conf/language, or by their code in m-ArenaHard.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.config import ArenaConfig, languages
from croco.config.languages import known, settings
from croco.errors import UserError
from croco.prompts import of_hub, parsing, rows

SPLIT = "arena"
SPLIT_OF_HUB = "test"
KEY = "evals.arena.path"

Row = dict[str, Any]


def code_of(language: str) -> str | None:
    """A language's code in m-ArenaHard; None where the data set does not have it."""
    code = settings(language).m_arenahard
    return None if code is None else str(code)


def from_files(path: Path, language: str) -> Iterator[tuple[str, Row]]:
    """(place, row) of the questions in a language.

    Raises:
        UserError: nothing is there, a row cannot be read, or names no language where its file's name does not either.
    """
    for found in rows.of_files(path, KEY):
        if isinstance(found.row, UserError):
            raise found.row
        said = parsing.said(found)
        named = next((name for name in found.names if path.is_dir() and _called(name) is not None), None)
        if said is None and named is None:
            raise UserError(
                f"{found.place}: no language: give a `language` column, or one file per language in a folder"
            )
        if _called(str(said or named)) == language:
            yield found.place, found.row


def _called(word: str) -> str | None:
    """The language that a word means, by m-ArenaHard's codes, too."""
    return next((language for language in known() if code_of(language) == word), None) or languages.of_word(word)


def from_hub(path: str, revision: str | None, language: str) -> Iterator[tuple[str, Row]]:
    """(place, row) of a hub data set's test split in a language.

    Raises:
        UserError: the data set does not have the language, or cannot be had.
    """
    code = str(code_of(language))
    try:
        for found in of_hub.rows(of_hub.Asked(path, code, SPLIT_OF_HUB, revision), (), KEY):
            yield f"{path} ({code}), {found.place.rpartition(', ')[2]}", dict(found.row)  # type: ignore[arg-type]
    except UserError as error:
        raise UserError(f"{error}, and evals.arena.source=file") from None


def parse(placed: Iterable[tuple[str, Row]], language: str, dropped: Counter[str]) -> list[Prompt]:
    """The questions as prompts; those without text are counted in `dropped`.

    Raises:
        UserError: a column is missing, or a question is there twice; the message names the row.
    """
    found: dict[str, Prompt] = {}
    for place, row in placed:
        for column in ("question_id", "prompt"):
            if row.get(column) is None:
                raise UserError(
                    f"{place}: no `{column}`; an arena's row has question_id, prompt, category, subcategory"
                )
        identity = str(row["question_id"])
        if identity in found:
            raise UserError(f"{place}: question {identity} is there twice in '{language}'")
        if not str(row["prompt"]).strip():
            dropped["no text"] += 1
            continue
        meta = {name: str(row.get(name) or "") for name in ("category", "subcategory")}
        messages = [{"role": "user", "content": str(row["prompt"])}]
        found[identity] = Prompt(identity, language, messages, SPLIT, meta=json.dumps(meta, ensure_ascii=False))
    return list(found.values())


def from_heldout(prompts: Iterable[Prompt]) -> list[Prompt]:
    """A run's own held-out prompts as questions."""
    return [Prompt(**{**records.as_dict(p), "split": SPLIT}) for p in prompts if p.split == "heldout"]


def limited(prompts: list[Prompt], config: ArenaConfig) -> list[Prompt]:
    """At most `config.limit` of the questions, the same ones in every language, sorted by id."""

    def place(prompt: Prompt) -> bytes:
        return hashlib.sha256(f"{config.seed}/{prompt.prompt_id}".encode()).digest()

    kept = prompts if config.limit is None else sorted(prompts, key=place)[: config.limit]
    return sorted(kept, key=lambda p: p.prompt_id)


def kinds(prompt: Prompt) -> tuple[str, str]:
    """(category, subcategory) of a question; for prompts that are not an arena's, the `task` of their meta."""
    meta = json.loads(prompt.meta)
    return str(meta.get("category") or meta.get("task") or ""), str(meta.get("subcategory") or "")
