"""An arena's questions: the rows of m-ArenaHard (Cohere Labs), from the hub or from files of the same columns.

    question_id, category, subcategory, prompt, language

Translations share `question_id`. A file holds several languages (`language` names each row's), or one, which its name says
(`da.jsonl`). Languages are called as in conf/language, or by their code in m-ArenaHard.
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
from croco.config import ArenaConfig, reach
from croco.config.languages import known, settings
from croco.errors import UserError

SPLIT = "arena"
SUFFIXES = (".jsonl", ".json", ".parquet")

Row = dict[str, Any]


def code_of(language: str) -> str | None:
    """A language's code in m-ArenaHard; None where the data set does not have it."""
    code = settings(language).m_arenahard
    return None if code is None else str(code)


def files(path: Path) -> list[Path]:
    """A file itself, or the files of a folder.

    Raises:
        UserError: there are none, or of another kind.
    """
    found = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.suffix in SUFFIXES)
    if not found or found[0].suffix not in SUFFIXES:
        raise UserError(f"evals.arena.path: {path}: no .jsonl, .json or .parquet file, nor a folder with such files")
    return found


def from_files(path: Path, language: str) -> Iterator[tuple[str, Row]]:
    """(place, row) of the questions in a language."""
    names = {language, code_of(language)}
    for file in files(path):
        if path.is_dir() and file.stem not in names and file.stem in _all_codes():
            continue
        named = file.stem if path.is_dir() and file.stem in names else None
        for place, row in _rows(file):
            if "language" not in row and named is None:
                raise UserError(f"{place}: no language: give a `language` column, or one file per language in a folder")
            if row.get("language", named) in names:
                yield place, row


def _all_codes() -> set[str]:
    return {*known(), *(code for language in known() if (code := code_of(language)))}


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    if file.suffix == ".json":
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file}: not valid JSON ({error})") from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{file}: expected a list of objects")
        yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, start=1))
        return
    if file.suffix == ".jsonl":
        for number, row in records.read_jsonl(file):
            yield f"{file}:{number}", row
        return
    import pyarrow.parquet as pq

    for number, row in enumerate(pq.read_table(file).to_pylist(), start=1):
        yield f"{file}, row {number}", row


def from_hub(path: str, revision: str | None, language: str) -> Iterator[tuple[str, Row]]:
    """(place, row) of a hub data set's test split in a language.

    Raises:
        UserError: the data set does not have the language, or cannot be had.
    """
    reach.missing()
    import datasets

    code = code_of(language)
    try:
        data = datasets.load_dataset(path, code, split="test", revision=revision)
    except Exception as error:
        raise UserError(
            f"evals.arena.path: cannot load '{path}' ({code}) from the hub ({reach.why(error)}); a local copy works with "
            "evals.arena.source=file evals.arena.path=FILE_OR_FOLDER"
        ) from None
    for number, row in enumerate(data):
        yield f"{path} ({code}), row {number}", dict(row)


def parse(rows: Iterable[tuple[str, Row]], language: str, dropped: Counter[str]) -> list[Prompt]:
    """The questions as prompts; those without text are counted in `dropped`.

    Raises:
        UserError: a column is missing, or a question is there twice; the message names the row.
    """
    found: dict[str, Prompt] = {}
    for place, row in rows:
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
