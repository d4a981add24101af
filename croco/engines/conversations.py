"""From answers to the conversations that a reward model reads, equal ones once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from croco.engines.base import Answered
from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]


def score_once(
    tokenizer: PreTrainedTokenizerBase,
    answers: Sequence[Answered],
    max_length: int,
    rewards_of: Callable[[Sequence[Ids]], Mapping[Ids, float]],
) -> list[float | None]:
    """A reward per answer; None for a conversation of more than `max_length` tokens and for a reward that is not finite.

    Args:
        rewards_of: rewards by conversation of distinct conversations, those of a prompt next to each other where its answers
            were.
    """
    places: dict[Ids, list[int]] = {}
    finished = [[*a.messages, {"role": "assistant", "content": a.answer}] for a in answers]
    for place, ids in enumerate(map(tuple, text.conversations_ids(tokenizer, finished))):
        if len(ids) <= max_length:
            places.setdefault(ids, []).append(place)
    rewards: list[float | None] = [None] * len(answers)
    for ids, reward in rewards_of(list(places)).items():
        for place in places[ids]:
            rewards[place] = reward if math.isfinite(reward) else None
    return rewards
