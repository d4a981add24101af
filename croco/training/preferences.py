"""Preferences as token ids: whole conversations as the reward model will read them, what both sides share told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from croco.artifacts.records import Message
from croco.errors import UserError
from croco.language import text
from croco.training.data import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_preference(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], chosen: str, rejected: str
) -> Example:
    """The two conversations: their longest common beginning, and how each goes on (one of the two may end there).

    Raises:
        UserError: the chat template cannot render them, or they do not begin alike.
    """
    both = [
        text.conversation_ids(tokenizer, [*messages, {"role": "assistant", "content": answer}])
        for answer in (chosen, rejected)
    ]
    shared = next((i for i, (a, b) in enumerate(zip(*both, strict=False)) if a != b), min(map(len, both)))
    if shared == 0:
        raise UserError(f"{tokenizer.name_or_path}: its chat template renders nothing in front of an answer")
    return Example(both[0][:shared], (both[0][shared:], both[1][shared:]))


def fits(example: Example, max_length: int, counts: Counter[str]) -> bool:
    """Whether there is something to learn from it; what speaks against it is counted.

    A conversation that is too long is not cut: the reward is read at its end.
    """
    if example.answers[0] == example.answers[1]:
        counts["identical as tokens"] += 1
    elif len(example.prompt) + max(map(len, example.answers)) > max_length:
        counts["conversation too long"] += 1
    else:
        return True
    return False


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
