"""A conversation as other people keep it: texts, turns of {role, content} or {from, value}, contents of several parts."""

from __future__ import annotations

from typing import Any

from croco.artifacts.records import Message
from croco.errors import UserError
from croco.prompts.rows import LeftOut, as_json

ROLES = ("system", "user", "assistant")
SHAREGPT = {"human": "user", "gpt": "assistant", "system": "system", "user": "user", "assistant": "assistant"}
TOOL_ROLES = ("tool", "function", "environment", "ipython", "observation", "function_call")
TOOL_FIELDS = ("tool_calls", "function_calls", "functions", "tools")
NOTHING: tuple[Any, ...] = (None, "", "[]", "{}", "null", [], {})
OF_A_TOOL = "tool call"


def text(place: str, name: str, value: Any) -> str:
    """A content: text, or a list of parts that are all text; nothing is empty.

    Raises:
        UserError: it is something else.
        LeftOut: a part is no text (a picture, a sound).
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(p, str) or _part(p) for p in value) and name == "content":
        return "".join(part if isinstance(part, str) else _text_of(part) for part in value)
    raise UserError(f"{place}: `{name}` must be text, this is {type(value).__name__}")


def _part(value: Any) -> bool:
    return isinstance(value, dict) and ("text" in value or "type" in value)


def _text_of(part: dict[str, Any]) -> str:
    said = part.get("text")
    if part.get("type", "text") != "text" or not isinstance(said, str):
        raise LeftOut(f"a part that is no text ({part.get('type')})")
    return said


def messages(place: str, name: str, value: Any) -> list[Message]:
    """Turns as they are; one turn alone is a conversation, too.

    Raises:
        UserError: it is none.
        LeftOut: a tool takes part in it.
    """
    turns = as_json(value)
    turns = [turns] if isinstance(turns, dict) else turns
    if not isinstance(turns, list) or not turns or not all(map(_is_turn, turns)):
        raise UserError(f"{place}: `{name}` must be a list of {{role, content}}")
    said = [(_role(turn), turn.get("content") if "role" in turn else turn.get("value")) for turn in turns]
    if any(role in TOOL_ROLES for role, _ in said) or any(t.get(f) not in NOTHING for t in turns for f in TOOL_FIELDS):
        raise LeftOut(OF_A_TOOL)
    for role, _ in said:
        if role not in ROLES:
            raise UserError(f"{place}: role {role!r} in `{name}`; there is {', '.join(ROLES)}")
    return [{"role": role, "content": text(place, "content", content)} for role, content in said]


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and ("role" in turn or {"from", "value"} <= set(turn))


def _role(turn: dict[str, Any]) -> str:
    return str(turn["role"]) if "role" in turn else SHAREGPT.get(str(turn["from"]), str(turn["from"]))
