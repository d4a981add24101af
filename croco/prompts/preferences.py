"""Preference data of other people: M-RewardBench's schema, TRL's, or any rows of `prompt`, `chosen` and `rejected`.

M-RewardBench (arXiv 2410.15522): columns id, prompt, chosen, rejected, language, subset; on the hub one configuration per
language, named by its FLORES code. The same `id` in two languages is the same comparison, translated. TRL: texts, or message
lists, whose conversation may stand in `prompt` or before the last message of `chosen` and `rejected`. Besides, where they are
there: `margin` (a number), `tie` (true where neither was preferred).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message
from croco.errors import UserError
from croco.prompts import conversation, of_hub, parsing, rows
from croco.prompts.rows import LeftOut

KEY = "evals.reward_ranking.path"
TIES = ("tie", "tied", "ties")
NO_PROMPT = "empty prompt"
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


def read(asked: of_hub.Asked, languages: Sequence[str], limit: int | None) -> list[Preference]:
    """The comparisons in these languages, at most `limit` per language, sorted by language and id; no ties.

    Raises:
        UserError: nothing is there, a row is malformed or has an empty side, or no row is in these languages.
    """
    found: dict[tuple[str, str], Preference] = {}
    for place, preference in each(asked, languages):
        for side in ("chosen", "rejected"):
            if not getattr(preference, side).strip():
                raise UserError(f"{place}: `{side}` is empty; a comparison needs two answers")
        if preference.language in languages and not preference.tied:
            found.setdefault((preference.language, preference.pair_id), preference)
    if not found:
        raise UserError(f"{KEY}: {asked.path}: no comparison in {', '.join(languages)}")
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
    asked: of_hub.Asked,
    languages: Sequence[str] = (),
    default: str | None = None,
    key: str = KEY,
    counts: Counter[str] | None = None,
) -> Iterator[tuple[str, Preference]]:
    """(place, comparison) of every row; the place is `FILE:LINE`.

    Args:
        asked: a file or a folder of this machine, or a data set on the hub.
        languages: of a hub data set with a configuration per language, only these are loaded.
        default: the language of rows that name none, by a column or by the name of their file.
        counts: of rows that are left out, or cannot be read, by reason.

    Raises:
        UserError: nothing is there, or too many rows are no comparisons (see `rows.readable`).
    """
    path = Path(asked.path)
    found = rows.of_files(path, key) if path.exists() else of_hub.rows(asked, languages, key)
    counts = Counter() if counts is None else counts
    yield from rows.readable(found, lambda one: (one.place, parse(one, default, path.name)), counts)


def parse(found: rows.Found, default: str | None = None, source: str = "") -> Preference:
    """A comparison from a row.

    Args:
        default: the language of a row that names none, nor do the names around it.

    Raises:
        UserError: it is none.
        LeftOut: nobody wants it.
    """
    row, place = found.row, found.place
    assert isinstance(row, dict), "readable() looks first"
    missing = [name for name in ("chosen", "rejected") if row.get(name) is None]
    if missing:
        raise UserError(f"{place}: no {' nor '.join(missing)}; a comparison needs prompt, chosen and rejected")
    (before, chosen), (also, rejected) = (_side(place, name, row[name]) for name in ("chosen", "rejected"))
    messages = _prompt(found, before, also)
    language = parsing.language_of(found, messages[-1]["content"], default, "`language` of the source")
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


def _prompt(found: rows.Found, before: list[Message], also: list[Message]) -> list[Message]:
    """What both answers reply to, from `prompt` or from what stands before them."""
    place, row = found.place, found.row
    assert isinstance(row, dict), "readable() looks first"
    if before != also:
        raise UserError(f"{place}: `chosen` and `rejected` do not reply to the same conversation")
    name = next((name for name in ("prompt", *parsing.CONVERSATIONS) if row.get(name)), "prompt")
    prompt = row.get(name)
    own: list[Message] = []
    if isinstance(prompt, str) and prompt.strip():
        own = [{"role": "user", "content": prompt}]
    elif prompt is not None and not isinstance(prompt, str):
        own = _messages(place, name, prompt)
    if own and before and before[-len(own) :] != own:
        raise UserError(f"{place}: `{name}` is not what stands before the answers in `chosen`")
    messages = before or own
    if not messages:
        if "prompt" in row:
            raise LeftOut(NO_PROMPT)
        raise UserError(f"{place}: no prompt; a comparison needs prompt, chosen and rejected")
    if messages[-1]["role"] != "user":
        raise UserError(
            f"{place}: `{name}` ends with the {messages[-1]['role']}'s turn, an answer replies to the user's"
        )
    return messages


def _messages(place: str, name: str, value: Any) -> list[Message]:
    if not isinstance(value, list | dict) or not value:
        raise UserError(f"{place}: `{name}` must be text or a list of {{role, content}}")
    return conversation.messages(place, name, value)


def _margin(place: str, row: Row) -> float | None:
    value = row.get("margin")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UserError(f"{place}: `margin` must be a number of at least 0, this is {value!r}")
    return float(value)
