"""The only place where a conversation becomes token ids.

What is generated, scored, trained on and evaluated must be the same ids, so nothing else calls a chat template
(croco/language/frame.py asks it for the frame of a turn). Ids are made from the template directly, never from its text, which
would add a second BOS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.artifacts.records import Message
from croco.errors import UserError
from croco.language import frame, framed, rendering

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(
    path: str,
    revision: str | None = None,
    chat_template: str | None = None,
    trust_remote_code: bool = False,
    template_options: Mapping[str, Any] | None = None,
) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, with `chat_template` (a Jinja file) in place of its own when given.

    Args:
        template_options: what the template itself takes besides messages (`enable_thinking`).

    Raises:
        UserError: no tokenizer there, the template file is missing, or there is no chat template at all.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns of every prompt longer than the context; the engine refuses those by name
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot load its tokenizer ({_first_line(error)})") from None
    if chat_template is not None:
        file = Path(chat_template)
        if not file.is_file():
            raise UserError(f"model.chat_template: {file}: no such file")
        tokenizer.chat_template = file.read_text(encoding="utf-8")
    if not tokenizer.chat_template:
        raise UserError(f"{path}: has no chat template; give one with model.chat_template=FILE.jinja")
    setattr(tokenizer, rendering.OPTIONS, dict(template_options or {}))
    return tokenizer


def template_source(chat_template: str | None) -> str | None:
    """What a chat template's file says, for addresses: another text is another template, another place is not."""
    if chat_template is None or not Path(chat_template).is_file():
        return chat_template
    return Path(chat_template).read_text(encoding="utf-8")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Ids up to where the assistant's answer begins."""
    return frame.conversation(tokenizer, messages, True)


def prompts_ids(tokenizer: PreTrainedTokenizerBase, many: Sequence[list[Message]]) -> list[list[int]]:
    """Each as `prompt_ids` gives it, for many at once: a fast tokenizer encodes them on all cores."""
    return frame.conversations(tokenizer, many, True)


def conversations_ids(tokenizer: PreTrainedTokenizerBase, many: Sequence[list[Message]]) -> list[list[int]]:
    """Each as `conversation_ids` gives it, for many at once."""
    return frame.conversations(tokenizer, many, False)


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Ids of a finished conversation, as a reward model reads it."""
    return frame.conversation(tokenizer, messages, False)


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Ids of an answer's text behind a prompt, closed as the template closes a turn; see `framed.answer`."""
    return framed.answer(tokenizer, answer)


def answers_ids(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> list[list[int]]:
    """Each as `answer_ids` gives it, for many at once."""
    return framed.answers(tokenizer, answers)


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token with which the template ends an assistant's turn, behind which generation stops; EOS where it writes none.

    Raises:
        UserError: neither exists.
    """
    return frame.end(tokenizer)[-1]


def alike(tokenizer: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether ids of answers mean the same to both: one vocabulary, and one end of a turn."""
    return tokenizer.get_vocab() == other.get_vocab() and frame.end(tokenizer) == frame.end(other)


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The answer's text, without marks, thought and outer white space; see `framed.decode`."""
    return framed.decode(tokenizer, ids).strip()
