"""Where a sequence classifier reads its reward: where its own class does for one conversation alone, without padding.

A decoder's class takes the last token that is not `pad_token_id` of its configuration: the last one where there is no such id,
the one before where the id is the EOS that ends the conversation. In a batch the padding must not move that place, and an engine
that reads the last token of what it is given must be given no more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def pad_of(config: Any) -> int | None:
    """The id that the class passes over; None where it passes over none (-1 and ids behind the vocabulary are no tokens)."""
    text = config.get_text_config()
    pad = getattr(text, "pad_token_id", None)
    return pad if pad is not None and 0 <= pad < text.vocab_size else None


def filler(own: int | None, conversations: Collection[Sequence[int]]) -> int:
    """What to fill the rows of a batch with: `own`, or an id with which no conversation ends."""
    if own is not None:
        return own
    ends = {ids[-1] for ids in conversations}
    return next(i for i in range(len(ends) + 1) if i not in ends)


def up_to_the_reward(own: int | None, ids: Sequence[int]) -> list[int]:
    """The conversation without what the class passes over at its end; at least one token."""
    end = len(ids)
    while end > 1 and ids[end - 1] == own:
        end -= 1
    return list(ids[:end])
