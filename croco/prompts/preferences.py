"""Preference data of other people: M-RewardBench's schema, TRL's, or any rows of `prompt`, `chosen` and `rejected`.

M-RewardBench (arXiv 2410.15522): columns id, prompt, chosen, rejected, language, subset; on the hub one configuration per
language, named by its FLORES code. The same `id` in two languages is the same comparison, translated. TRL: texts, or message
lists, whose conversation may stand in `prompt` or before the last message of `chosen` and `rejected`. Besides, where they are
there: `margin` (a number), `tie` (true where neither was preferred).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message
from croco.config import languages as known
from croco.config import reach
from croco.errors import UserError

KEY = "evals.reward_ranking.path"
SUFFIXES = (".jsonl", ".parquet")
TIES = ("tie", "tied", "ties")
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
    margin: float | None = None
    """How much better, in the data's own measure; None where it does not say."""
    tied: bool = False
    """Neither was preferred; which one is called chosen says nothing."""
    source: str = ""
    """The file or data set."""
    split: str = ""
    """`train` or `heldout`."""
    weight: float = 1.0
    """How often it is seen in an epoch; below 1, the probability that it is."""


def read(path: str, languages: Sequence[str], split: str, revision: str | None, limit: int | None) -> list[Preference]:
    """The comparisons in these languages, at most `limit` per language, sorted by language and id; no ties.

    Raises:
        UserError: nothing is there, a row is malformed or has an empty side, or no row is in these languages.
    """
    found: dict[tuple[str, str], Preference] = {}
    for place, preference in each(path, split, revision, languages):
        for side in ("chosen", "rejected"):
            if not getattr(preference, side).strip():
                raise UserError(f"{place}: `{side}` is empty; a comparison needs two answers")
        if preference.language in languages and not preference.tied:
            found.setdefault((preference.language, preference.pair_id), preference)
    if not found:
        raise UserError(f"{KEY}: {path}: no comparison in {', '.join(languages)}")
    return first_of_each(found.values(), limit)


def first_of_each(preferences: Iterable[Preference], limit: int | None) -> list[Preference]:
    """At most `limit` of each language, sorted by language and id."""
    counts: dict[str, int] = {}
    kept = []
    for preference in sorted(preferences, key=lambda p: (p.language, p.pair_id)):
        counts[preference.language] = counts.get(preference.language, 0) + 1
        if limit is None or counts[preference.language] <= limit:
            kept.append(preference)
    return kept


def each(
    path: str,
    split: str = "train",
    revision: str | None = None,
    languages: Sequence[str] | None = None,
    default: str | None = None,
    key: str = KEY,
) -> Iterator[tuple[str, Preference]]:
    """(place, comparison) of every row; the place is `FILE:LINE`.

    Args:
        languages: of a hub data set with a configuration per language, only these are loaded; None loads the first one.
        default: the language of rows that name none, by a column or by the name of their file.

    Raises:
        UserError: nothing is there, or a row is no comparison.
    """
    names = codes()
    local = Path(path).exists()
    rows = _from_files(Path(path), key) if local else _from_hub(path, languages or (), split, revision, key)
    for place, hint, row in rows:
        yield place, _parse(place, row, names, hint, default, Path(path).name)


def files(path: Path, key: str = KEY) -> list[Path]:
    """A file itself, or the files of a folder and its subfolders."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
    if not found or any(file.suffix not in SUFFIXES for file in found):
        raise UserError(f"{key}: {path}: neither a {' or '.join(SUFFIXES)} file nor a folder with such files")
    return found


def codes() -> dict[str, str]:
    """What names a language in preference data (its code here, ISO, FLORES, English name) -> its file in conf/language."""
    names = {}
    for code in known.known():
        language = known.settings(code)
        for name in (code, language.iso, language.m_rewardbench, language.english_name):
            if name is not None:
                names[str(name).lower()] = code
    return names


def _from_files(path: Path, key: str) -> Iterator[tuple[str, tuple[str, ...], Row]]:
    """(place, names that may say the language, row) of every row."""
    for file in files(path, key):
        hint = (file.stem, file.parent.name) if path.is_dir() else (file.stem,)
        if file.suffix == ".jsonl":
            for number, row in records.read_jsonl(file):
                yield f"{file}:{number}", hint, row
        else:
            import pyarrow.parquet as pq

            for number, row in enumerate(pq.read_table(file).to_pylist(), start=1):
                yield f"{file}, row {number}", hint, row


def _from_hub(
    path: str, languages: Sequence[str], split: str, revision: str | None, key: str
) -> Iterator[tuple[str, tuple[str, ...], Row]]:
    """The configurations of those of the languages that the data set has; languages it lacks are left out."""
    reach.missing()
    import datasets

    names = codes()
    try:
        there = list(datasets.get_dataset_config_names(path, revision=revision))
        wanted = [name for name in there if names.get(name.lower()) in languages] or there[:1]
        for name in wanted:
            for number, row in enumerate(datasets.load_dataset(path, name, split=split, revision=revision), start=1):
                yield f"{path}/{name}, row {number}", (name,), row
    except Exception as error:
        raise UserError(
            f"{key}: cannot load '{path}' from the hub ({reach.why(error)}); a local copy works too"
        ) from None


def _parse(
    place: str, row: Row, names: dict[str, str], hint: tuple[str, ...], default: str | None, source: str
) -> Preference:
    missing = [name for name in ("chosen", "rejected") if row.get(name) is None]
    if missing:
        raise UserError(f"{place}: no {' nor '.join(missing)}; a comparison needs prompt, chosen and rejected")
    said = [str(name) for name in (row.get("language"), row.get("lang")) if name]
    known = next((names[name.lower()] for name in (*said, *hint) if name.lower() in names), None)
    language = known or (said[0] if said else default or hint[0])
    (before, chosen), (also, rejected) = (_side(place, name, row[name]) for name in ("chosen", "rejected"))
    messages = _prompt(place, row.get("prompt"), before, also)
    key = next((row[name] for name in ("id", "pair_id", "prompt_id") if row.get(name) is not None), None)
    if key is None:  # then never taken for a translation
        text = "\0".join((language, records.canonical_messages(messages), chosen, rejected))
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    subset = str(row.get("subset") or row.get("category") or "")
    tied = any(bool(row.get(name)) for name in TIES)
    return Preference(str(key), language, messages, chosen, rejected, subset, _margin(place, row), tied, source)


def _side(place: str, name: str, value: Any) -> tuple[list[Message], str]:
    """(what stands before the answer, the answer): text, or a conversation that ends with the assistant's turn."""
    if isinstance(value, str):
        return [], value
    messages = _messages(place, name, value)
    if messages[-1]["role"] != "assistant":
        raise UserError(f"{place}: `{name}` ends with the {messages[-1]['role']}'s turn, an answer is the assistant's")
    return messages[:-1], messages[-1]["content"]


def _prompt(place: str, prompt: Any, before: list[Message], also: list[Message]) -> list[Message]:
    """What both answers reply to, from `prompt` or from what stands before them."""
    if before != also:
        raise UserError(f"{place}: `chosen` and `rejected` do not reply to the same conversation")
    own: list[Message] = []
    if isinstance(prompt, str) and prompt.strip():
        own = [{"role": "user", "content": prompt}]
    elif prompt is not None and not isinstance(prompt, str):
        own = _messages(place, "prompt", prompt)
    if own and before and before[-len(own) :] != own:
        raise UserError(f"{place}: `prompt` is not what stands before the answers in `chosen`")
    messages = before or own
    if not messages:
        raise UserError(f"{place}: no prompt; a comparison needs prompt, chosen and rejected")
    if messages[-1]["role"] != "user":
        raise UserError(
            f"{place}: `prompt` ends with the {messages[-1]['role']}'s turn, an answer replies to the user's"
        )
    return messages


def _messages(place: str, name: str, value: Any) -> list[Message]:
    good = (
        isinstance(value, list) and value and all(isinstance(m, dict) and {"role", "content"} <= set(m) for m in value)
    )
    if not good or not all(isinstance(m["content"], str) for m in value):
        raise UserError(f"{place}: `{name}` must be text or a list of {{role, content}}")
    return [{"role": str(m["role"]), "content": m["content"]} for m in value]


def _margin(place: str, row: Row) -> float | None:
    value = row.get("margin")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UserError(f"{place}: `margin` must be a number of at least 0, this is {value!r}")
    return float(value)
