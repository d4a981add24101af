"""From a row to a prompt: what is asked, in which language, under which id; what is left out, and why."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Message, Prompt
from croco.config import PromptsConfig
from croco.errors import UserError
from croco.language import fidelity
from croco.prompts.reading import Found

IDS = ("prompt_id", "id", "question_id")
ROLES = ("system", "user", "assistant")
TOOL_ROLES = ("tool", "function", "environment", "ipython")
TOOL_FIELDS = ("tool_calls", "function_calls", "functions", "tools")
NOTHING: tuple[Any, ...] = (None, "", "[]", "{}", "null", [], {})


def parse(config: PromptsConfig, rows: Iterable[Found], dropped: Counter[str]) -> Iterator[Prompt]:
    """Prompts in all languages of the source, each (prompt_id, language) once; `dropped` counts the others by reason.

    Whether they are in their language is not asked yet: `fits`.

    Without an id a prompt's id is the hash of its text, so rows of different languages are then never taken for translations
    of one another.

    Raises:
        UserError: a row that is no prompt; names its place.
    """
    ids: set[tuple[str, str]] = set()
    texts: set[bytes] = set()
    for found in rows:
        language = _language(config, found)
        read = _conversation(found, config.turns)
        if isinstance(read, str):
            dropped[read] += 1
            continue
        messages, answer = read
        prompt_id = _prompt_id(found, language, messages)
        digest = hashlib.sha256(f"{language}\0{_plain(without_system(messages, config.system))}".encode()).digest()
        if (prompt_id, language) in ids or (config.deduplicate and digest in texts):
            dropped["duplicate"] += 1
            continue
        ids.add((prompt_id, language))
        texts.add(digest)
        yield Prompt(prompt_id, language, messages, "", _reference(found, answer), _meta(found))


def _language(config: PromptsConfig, found: Found) -> str:
    named = found.row.get("language", found.row.get("lang")) or found.language or config.language
    if named is None:
        raise UserError(
            f"{found.place}: no language: give a `language` column, one file per language, or prompts.language"
        )
    if not isinstance(named, str):
        raise UserError(f"{found.place}: `language` must be text, this is {named!r}")
    return named


def _conversation(found: Found, turns: str) -> tuple[list[Message], str | None] | str:
    """The conversation that is asked and the data set's own answer to it; or why the row is left out."""
    messages = _messages(found)
    if messages is None:
        return "tool call"
    users = [number for number, m in enumerate(messages) if m["role"] == "user"]
    if not users:
        return "no text"
    last = users[0] if turns == "first" else users[-1]
    asked = messages[last : last + 1] if turns == "first" else messages[: last + 1]
    if not asked[-1]["content"].strip():
        return "no text"
    after = messages[last + 1 : last + 2]
    return asked, after[0]["content"] if after and after[0]["role"] == "assistant" else None


def _messages(found: Found) -> list[Message] | None:
    """The row's turns as they are; None where a tool takes part in them."""
    row = found.row
    if row.get("messages") is None:
        if "prompt" not in row:
            there = ", ".join(sorted(row)) or "nothing"
            raise UserError(f"{found.place}: a prompt needs `prompt` or `messages`, this row has {there}")
        return [{"role": "user", "content": _text(found, "prompt", row["prompt"])}]
    turns = row["messages"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and "role" in turn for turn in turns):
        raise UserError(f"{found.place}: `messages` must be a list of {{role, content}}")
    if any(turn["role"] in TOOL_ROLES or any(turn.get(f) not in NOTHING for f in TOOL_FIELDS) for turn in turns):
        return None
    for turn in turns:
        if turn["role"] not in ROLES:
            raise UserError(f"{found.place}: role {turn['role']!r} in `messages`; there is {', '.join(ROLES)}")
    return [{"role": t["role"], "content": _text(found, "content", t.get("content"))} for t in turns]


def _text(found: Found, name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{found.place}: `{name}` must be text, this is {type(value).__name__}")
    return value


def _prompt_id(found: Found, language: str, messages: list[Message]) -> str:
    key = next((found.row[name] for name in IDS if found.row.get(name) is not None), None)
    if key is None:
        content = f"{language}\0{records.canonical_messages(messages)}"
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if not isinstance(key, str | int):
        raise UserError(f"{found.place}: an id must be text or a whole number, this is {key!r}")
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
    own = found.row.get("reference")
    return answer if own is None else _text(found, "reference", own)


def _meta(found: Found) -> str:
    meta = found.row.get("meta")
    return meta if isinstance(meta, str) else json.dumps(meta if meta is not None else {}, ensure_ascii=False)
