"""From answers to the conversations that a reward model reads, equal ones once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from croco.engines import ahead
from croco.engines.base import Answered
from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]
RewardsOf = Callable[[Sequence[Ids]], Mapping[Ids, float]]


@dataclass(frozen=True)
class Conversations:
    """What a model reads of some answers."""

    places: Mapping[Ids, Sequence[int]]
    """Distinct conversations, those of a prompt next to each other where its answers were -> the answers they are."""
    answers: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, max_length: int, answers: Sequence[Answered]) -> Conversations:
        """Rendered and encoded; one of more than `max_length` tokens is left out."""
        places: dict[Ids, list[int]] = {}
        finished = [[*a.messages, {"role": "assistant", "content": a.answer}] for a in answers]
        for place, ids in enumerate(map(tuple, text.conversations_ids(tokenizer, finished))):
            if len(ids) <= max_length:
                places.setdefault(ids, []).append(place)
        return cls(places, len(answers))

    def rewards(self, rewards_of: RewardsOf) -> list[float | None]:
        """A reward per answer; None for a conversation that was left out and for a reward that is not finite."""
        rewards: list[float | None] = [None] * self.answers
        for ids, reward in rewards_of(list(self.places)).items():
            for place in self.places[ids]:
                rewards[place] = reward if math.isfinite(reward) else None
        return rewards


class ReadingScorer(ABC):
    """A `base.Scorer` of a model that reads conversations, each distinct one once."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    @abstractmethod
    def read(self, conversations: Sequence[Ids]) -> Mapping[Ids, float]:
        """Rewards of distinct conversations."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`; a conversation longer than `max_length` gets None."""
        return self._encoded(answers).rewards(self.read)

    def stream(self, parts: Iterable[list[Answered]]) -> Iterator[tuple[int, list[float | None]]]:
        """See `base.scored`: the same rewards, part by part; the next parts are encoded while the device is at work."""
        return ahead.computed(parts, self._encoded, lambda encoded: encoded.rewards(self.read))

    def _encoded(self, answers: Sequence[Answered]) -> Conversations:
        return Conversations.of(self.tokenizer, self.max_length, answers)
