"""Preferences as token ids: whole conversations as the reward model will read them, what both sides share told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from croco.artifacts.records import Message
from croco.errors import UserError
from croco.language import text
from croco.prompts.preferences import Preference
from croco.training.encoding import Block, Source, record
from croco.training.examples import IDS, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LEFT_OUT = ("identical as tokens", "conversation too long")


def encode_preference(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], chosen: str, rejected: str
) -> Example:
    """The two conversations: their longest common beginning, and how each goes on (one of the two may end there).

    Raises:
        UserError: the chat template cannot render them, or they do not begin alike.
    """
    return encode_preferences(tokenizer, [(messages, chosen, rejected)])[0]


def encode_preferences(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[Sequence[Message], str, str]]
) -> list[Example]:
    """Each as `encode_preference` gives it, for many at once."""
    finished = [[*messages, {"role": "assistant", "content": answer}] for messages, *both in rows for answer in both]
    sides = iter(text.conversations_ids(tokenizer, finished))
    found = []
    for a, b in zip(sides, sides, strict=True):
        shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        if shared == 0:
            raise UserError(f"{tokenizer.name_or_path}: its chat template renders nothing in front of an answer")
        found.append(Example(a[:shared], (a[shared:], b[shared:])))
    return found


def of_preferences(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Preference], max_length: int) -> Source:
    """Preferences as training encodes them. A conversation that is too long is left out, not cut: its end has the reward."""

    def block(some: list[Preference]) -> Block:
        parts: list[np.ndarray] = []
        told = np.zeros(len(some), record(2))
        made = encode_preferences(tokenizer, [(p.messages, p.chosen, p.rejected) for p in some])
        for row, example in zip(told, made, strict=True):
            row["why"] = why(example, max_length)
            if not row["why"]:
                example_parts = [np.asarray(ids, IDS) for ids in (example.prompt, *example.answers)]
                row["lengths"] = list(map(len, example_parts))
                parts += example_parts
        return parts, told

    return Source(rows, len(rows), 2, block, LEFT_OUT)


def why(example: Example, max_length: int) -> int:
    """Why there is nothing to learn from it, in `LEFT_OUT` from 1; 0 where there is."""
    if example.answers[0] == example.answers[1]:
        return 1
    return 2 * (len(example.prompt) + max(map(len, example.answers)) > max_length)


def filling(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that fills rows: the tokenizer's own, or another special one, with which no conversation ends.

    A sequence classifier reads its reward at the last token that is not this one, and an engine without padding (vLLM) at the
    last one of all; they read the same as long as no conversation ends with it, as one does where the end of the turn fills
    rows, too.

    Raises:
        UserError: there is none.
    """
    ends = {
        text.conversation_ids(tokenizer, [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}])[
            -1
        ]
        for answer in ("a", "b.")
    }
    special = sorted(i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    for candidate in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *special):
        if candidate is not None and candidate not in ends:
            return int(candidate)
    raise UserError(
        f"reward.base: {tokenizer.name_or_path}: has no pad token, and no special token with which no conversation ends; "
        "add one to its tokenizer"
    )
