"""The only place where a conversation becomes token ids.

What is generated, scored, trained on and evaluated must be the same ids, so nothing else calls a chat template. Two rules:
ids are made from the template directly (never from its text, which would add a second BOS), and an answer's ids are what
follows the prompt's ids in the whole conversation, up to and including the token that ends the turn.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.artifacts.records import Message
from croco.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(
    path: str, revision: str | None = None, chat_template: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, with `chat_template` (a Jinja file) in place of its own when given.

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
    return tokenizer


def template_source(chat_template: str | None) -> str | None:
    """What a chat template's file says, for addresses: another text is another template, another place is not."""
    if chat_template is None or not Path(chat_template).is_file():
        return chat_template
    return Path(chat_template).read_text(encoding="utf-8")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], options: Mapping[str, Any] | None = None
) -> list[int]:
    """Ids up to where the assistant's answer begins; `options` are what the template itself takes (`enable_thinking`)."""
    return _ids(tokenizer, messages, add_generation_prompt=True, **(options or {}))


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Ids of a finished conversation, as a reward model reads it."""
    return _ids(tokenizer, messages, add_generation_prompt=False)


def _ids(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], add_generation_prompt: bool, **options: Any
) -> list[int]:
    ids: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False, **options
    )
    return list(ids)


def answer_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message], answer: str) -> list[int]:
    """Ids of `answer` after `messages`, closed by the end-of-turn token.

    Where the template rewrites the prompt once an answer follows (so that the prompt's ids are no prefix of the whole), the
    answer is encoded by itself.
    """
    prompt = prompt_ids(tokenizer, messages)
    whole = conversation_ids(tokenizer, [*messages, {"role": "assistant", "content": answer}])
    end = end_of_turn(tokenizer)
    if whole[: len(prompt)] == prompt and end in whole[len(prompt) :]:
        ids = whole[len(prompt) :]
        return ids[: ids.index(end) + 1]
    return [*tokenizer.encode(answer, add_special_tokens=False), end]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token with which the template closes an assistant's turn; the EOS token where it writes none.

    Raises:
        UserError: neither exists.
    """
    return _end_of_turn(tokenizer, tokenizer.chat_template)


@functools.lru_cache(maxsize=64)
def _end_of_turn(tokenizer: PreTrainedTokenizerBase, _template: str) -> int:
    user = {"role": "user", "content": "a"}
    prompt = prompt_ids(tokenizer, [user])
    whole = conversation_ids(tokenizer, [user, {"role": "assistant", "content": "b"}])
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    closing = [i for i in whole[len(prompt) :] if i in special]
    if closing:
        return closing[0]
    if tokenizer.eos_token_id is None:
        raise UserError(f"{tokenizer.name_or_path}: neither its chat template nor its EOS token ends an answer")
    return tokenizer.eos_token_id


def alike(tokenizer: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether ids of answers mean the same to both: one vocabulary, and one token that ends a turn."""
    return tokenizer.get_vocab() == other.get_vocab() and end_of_turn(tokenizer) == end_of_turn(other)


def decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The answer's text, without special tokens and outer white space."""
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
