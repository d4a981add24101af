"""What a chat template makes of messages; the only call of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from croco.errors import UserError
from croco.language import clock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPTIONS = "template_options"  # attribute of a tokenizer: what its own chat template takes besides messages


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool,
    in_parts: bool = False,
) -> str:
    """What the template makes of messages, with the tokenizer's options and the run's date.

    Args:
        in_parts: contents that are strings go in as lists of one part.

    Raises:
        UserError: a template is a program, and may raise anything; one line names it.
    """
    if in_parts:
        messages = [
            {**m, "content": [{"type": "text", "text": m["content"]}]} if isinstance(m["content"], str) else m
            for m in messages
        ]
    asked: dict[str, Any] = {"tokenize": False, "return_dict": False, **getattr(tokenizer, OPTIONS, {})}
    if clock.ASKS in str(tokenizer.chat_template):
        asked[clock.ASKS] = clock.strftime_now
    try:
        template: Any = tokenizer.apply_chat_template
        return str(template(list(messages), add_generation_prompt=add_generation_prompt, **asked))
    except Exception as error:
        roles = ", ".join(str(m.get("role")) for m in messages)
        line = getattr(error, "lineno", None)
        place = "" if line is None else f", line {line}"
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template{place} cannot render a conversation of {roles} ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
