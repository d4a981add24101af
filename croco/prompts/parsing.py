"""From a row to a prompt: what is asked, in which language, under which id; what is left out, and why."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message, Prompt
from croco.config import PromptsConfig, languages
from croco.errors import UserError
from croco.language import fidelity
from croco.prompts import conversation
from croco.prompts.rows import Found, LeftOut, readable

IDS = ("prompt_id", "id", "question_id")
LANGUAGE = ("language", "lang", "prompt_language")
CONVERSATIONS = ("messages", "conversations")


def parse(
    config: PromptsConfig, rows: Iterable[Found], dropped: Counter[str], default: str | None = None
) -> Iterator[Prompt]:
    """Prompts in all languages of the source, each (prompt_id, language) once; `dropped` counts the others by reason.

    Whether they are in their language is not asked yet: `fits`.

    Without an id a prompt's id is the hash of its text, so rows of different languages are then never taken for translations
    of one another.

    Args:
        default: the language of rows that name none, where `prompts.language` does not either.

    Raises:
        UserError: too many rows are no prompts (see `rows.readable`); names the place of one.
    """
    ids: set[tuple[str, str]] = set()
    texts: set[bytes] = set()
    for prompt in readable(rows, lambda found: _prompt(config, found, default), dropped):
        language, prompt_id = prompt.language, prompt.prompt_id
        digest = hashlib.sha256(
            f"{language}\0{_plain(without_system(prompt.messages, config.system))}".encode()
        ).digest()
        if (prompt_id, language) in ids or (config.deduplicate and digest in texts):
            dropped["duplicate"] += 1
            continue
        ids.add((prompt_id, language))
        texts.add(digest)
        yield prompt


def _prompt(config: PromptsConfig, found: Found, default: str | None) -> Prompt:
    assert isinstance(found.row, dict), "readable() looks first"
    messages, answer = _conversation(found, config.turns)
    language = language_of(found, messages[-1]["content"], config.language or default, "prompts.language")
    return Prompt(
        prompt_id_of(found.place, found.row, language, messages),
        language,
        messages,
        "",
        _reference(found, answer),
        meta_of(found.row),
    )


def language_of(found: Found, text: str, default: str | None, key: str) -> str:
    """A row's language, as it is called here where it is known here: by its own word, else by the names of its file and folder
    or of its configuration (all of one, or its last part: `pairs_da`), else the default.

    Args:
        text: of the row; its letters tell languages apart that differ by `script`.
        key: that a message names for the default.

    Raises:
        UserError: nothing says it.
    """
    own = said(found)
    parts = (word for name in found.names for word in (name, re.split(r"[_.\- ]", name)[-1]))
    words = [own] if own is not None else parts
    means = next((code for word in words if (code := languages.of_word(word, text)) is not None), None)
    language = means or own or default
    if language is None:
        raise UserError(f"{found.place}: no language: give a `language` column, one file per language, or {key}")
    return language


def said(found: Found) -> str | None:
    """What a row calls its language, in a column of its own.

    Raises:
        UserError: it is no text.
    """
    row: Any = found.row
    named = next((row[name] for name in LANGUAGE if row.get(name)), None)
    if named is not None and not isinstance(named, str):
        raise UserError(f"{found.place}: `language` must be text, this is {named!r}")
    return named


def _conversation(found: Found, turns: str) -> tuple[list[Message], str | None]:
    """The conversation that is asked and the data set's own answer to it."""
    messages = asked_of(found)
    users = [number for number, m in enumerate(messages) if m["role"] == "user"]
    if not users:
        raise LeftOut("no text")
    last = users[0] if turns == "first" else users[-1]
    asked = messages[last : last + 1] if turns == "first" else messages[: last + 1]
    if not asked[-1]["content"].strip():
        raise LeftOut("no text")
    after = messages[last + 1 : last + 2]
    return asked, after[0]["content"] if after and after[0]["role"] == "assistant" else None


def asked_of(found: Found) -> list[Message]:
    """A row's turns, from `messages` or `prompt`.

    Raises:
        UserError: it has none.
        LeftOut: a tool takes part in them.
    """
    row: Any = found.row
    name = next((name for name in CONVERSATIONS if row.get(name) is not None), None)
    if name is not None:
        return conversation.messages(found.place, name, row[name])
    if "prompt" not in row:
        there = ", ".join(sorted(row)) or "nothing"
        raise UserError(f"{found.place}: a prompt needs `prompt` or `messages`, this row has {there}")
    prompt = row["prompt"]
    if isinstance(prompt, list) and prompt and all(isinstance(turn, dict) for turn in prompt):
        return conversation.messages(found.place, "prompt", prompt)
    return [{"role": "user", "content": conversation.text(found.place, "prompt", prompt)}]


def prompt_id_of(place: str, row: dict[str, Any], language: str, messages: list[Message]) -> str:
    """A row's own id, or the hash of what it asks.

    Raises:
        UserError: the id is neither text nor a whole number.
    """
    key = next((row[name] for name in IDS if row.get(name) is not None), None)
    if key is None:
        content = f"{language}\0{records.canonical_messages(messages)}"
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if not isinstance(key, str | int):
        raise UserError(f"{place}: an id must be text or a whole number, this is {key!r}")
    return str(key)


def without_system(messages: list[Message], system: str) -> list[Message]:
    """The turns with system messages as they are (`keep`), before the next user's text (`merge`), or left out (`drop`)."""
    if system == "keep":
        return messages
    found: list[Message] = []
    before: list[str] = []
    for message in messages:
        if message["role"] == "system":
            before.append(message["content"])
        elif message["role"] == "user" and system == "merge":
            found.append({**message, "content": "\n\n".join([*before, message["content"]])})
            before = []
        else:
            found.append(message)
    return found


def _plain(messages: list[Message]) -> str:
    """What two prompts that ask the same have in common: white space and the way letters are composed do not count."""
    same = [{**m, "content": " ".join(unicodedata.normalize("NFC", m["content"]).split())} for m in messages]
    return records.canonical_messages(same)


def fits(config: PromptsConfig, dropped: Counter[str]) -> Callable[[Prompt], bool]:
    """Whether a prompt is in its language, where `prompts.check_language` asks; `dropped` counts those that are not.

    Told from the last turn; what is too short to tell, or in a language without a YAML, stays.
    """

    def asked(prompt: Prompt) -> bool:
        if not config.check_language or prompt.language not in fidelity.known_languages():
            return True
        if fidelity.matches(prompt.language, prompt.messages[-1]["content"]) is not False:
            return True
        dropped["in another language"] += 1
        return False

    return asked


def _reference(found: Found, answer: str | None) -> str | None:
    own = found.row.get("reference")  # type: ignore[union-attr]
    return answer if own is None else conversation.text(found.place, "reference", own)


def meta_of(row: dict[str, Any]) -> str:
    """What a grader or a reward may need, as JSON."""
    meta = row.get("meta")
    return meta if isinstance(meta, str) else json.dumps(meta if meta is not None else {}, ensure_ascii=False)
