"""Preference data of other people: M-RewardBench's schema, or any rows of `prompt`, `chosen` and `rejected`.

M-RewardBench (arXiv 2410.15522): columns id, prompt, chosen, rejected, language, subset; on the hub one configuration per
language, named by its FLORES code. The same `id` in two languages is the same comparison, translated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message
from croco.config import languages
from croco.errors import UserError

KEY = "evals.reward_ranking.path"
SUFFIXES = (".jsonl", ".parquet")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preference:
    """One comparison in one language; its translations share `pair_id`."""

    pair_id: str
    language: str
    messages: list[Message]
    chosen: str
    rejected: str
    subset: str


def read(path: str, languages: Sequence[str], split: str, revision: str | None, limit: int | None) -> list[Preference]:
    """The comparisons in these languages, at most `limit` per language, sorted by language and id.

    Raises:
        UserError: nothing is there, a row is malformed, or no row is in these languages.
    """
    names = codes()
    found: dict[tuple[str, str], Preference] = {}
    rows = _from_files(Path(path)) if Path(path).exists() else _from_hub(path, languages, split, revision)
    for place, hint, row in rows:
        preference = _parse(place, row, names, hint)
        if preference.language in languages:
            found.setdefault((preference.language, preference.pair_id), preference)
    if not found:
        raise UserError(f"{KEY}: {path}: no comparison in {', '.join(languages)}")
    ordered = [found[key] for key in sorted(found)]
    counts: dict[str, int] = {}
    kept = []
    for preference in ordered:
        counts[preference.language] = counts.get(preference.language, 0) + 1
        if limit is None or counts[preference.language] <= limit:
            kept.append(preference)
    return kept


def files(path: Path) -> list[Path]:
    """A file itself, or the files of a folder and its subfolders."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
    if not found or any(file.suffix not in SUFFIXES for file in found):
        raise UserError(f"{KEY}: {path}: neither a {' or '.join(SUFFIXES)} file nor a folder with such files")
    return found


def codes() -> dict[str, str]:
    """What names a language in preference data (its code here, ISO, FLORES, English name) -> its file in conf/language."""
    names = {}
    for code in languages.known():
        language = languages.settings(code)
        for name in (code, language.iso, language.m_rewardbench, language.english_name):
            if name is not None:
                names[str(name).lower()] = code
    return names


def _from_files(path: Path) -> Iterator[tuple[str, tuple[str, ...], Row]]:
    """(place, names that may say the language, row) of every row."""
    for file in files(path):
        hint = (file.stem, file.parent.name) if path.is_dir() else (file.stem,)
        if file.suffix == ".jsonl":
            for number, row in records.read_jsonl(file):
                yield f"{file}:{number}", hint, row
        else:
            import pyarrow.parquet as pq

            for number, row in enumerate(pq.read_table(file).to_pylist(), start=1):
                yield f"{file}, row {number}", hint, row


def _from_hub(
    path: str, languages: Sequence[str], split: str, revision: str | None
) -> Iterator[tuple[str, tuple[str, ...], Row]]:
    """The configurations of those of the languages that the data set has; languages it lacks are left out."""
    import datasets

    names = codes()
    try:
        there = list(datasets.get_dataset_config_names(path, revision=revision))
        wanted = [name for name in there if names.get(name.lower()) in languages] or there[:1]
        for name in wanted:
            for number, row in enumerate(datasets.load_dataset(path, name, split=split, revision=revision), start=1):
                yield f"{path}/{name}, row {number}", (name,), row
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{KEY}: cannot load '{path}' from the hub ({reason}); a local copy works too") from None


def _parse(place: str, row: Row, names: dict[str, str], hint: tuple[str, ...]) -> Preference:
    missing = [key for key in ("prompt", "chosen", "rejected") if not row.get(key)]
    if missing:
        raise UserError(f"{place}: no {' nor '.join(missing)}; a comparison needs prompt, chosen and rejected")
    said = [str(name) for name in (row.get("language"), *hint) if name]
    language = next((names[name.lower()] for name in said if name.lower() in names), said[0])
    prompt = row["prompt"]
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(m) for m in prompt]
    chosen, rejected = _answer(row["chosen"]), _answer(row["rejected"])
    key = next((row[name] for name in ("id", "pair_id", "prompt_id") if row.get(name) is not None), None)
    if key is None:  # then never taken for a translation
        text = "\0".join((language, records.canonical_messages(messages), chosen, rejected))
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Preference(
        str(key), language, messages, chosen, rejected, str(row.get("subset") or row.get("category") or "")
    )


def _answer(value: Any) -> str:
    """Text, or the last message of a conversation."""
    return value if isinstance(value, str) else str(value[-1]["content"])
