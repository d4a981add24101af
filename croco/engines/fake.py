"""Answers and scores made up from the seeds, without a model: the chain can be tested in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from croco.engines.base import Answered, Completion, Request
from croco.language import frame

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 12  # tokens


class FakeGenerator:
    """Draws tokens uniformly from the vocabulary; one answer in eight is cut off."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int) -> None:
        special = set(tokenizer.all_special_ids)
        self.words = [i for i in range(len(tokenizer)) if i not in special]
        self.end = list(frame.end(tokenizer))
        self.longest = min(LONGEST, max_new_tokens)
        self.settings: dict[str, Any] = {
            "engine": "fake",
            "max_new_tokens": self.longest,
            "stop_token_ids": self.end[-1:],
        }

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            for sample in request.samples:
                draw = np.random.default_rng(request.seed + sample)
                length = int(draw.integers(1, self.longest + 1))
                ids = [self.words[i] for i in draw.integers(len(self.words), size=length)]
                stopped = bool(draw.integers(8))
                yield Completion(
                    request, sample, [*ids, *self.end] if stopped else ids, "stop" if stopped else "length"
                )

    def close(self) -> None:
        pass


class FakeScorer:
    """A standard normal number that is a function of the conversation's text."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        return [self._reward(a) for a in answers]

    @staticmethod
    def _reward(answered: Answered) -> float:
        digest = hashlib.sha256(repr((answered.messages, answered.answer)).encode()).digest()
        return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal())

    def close(self) -> None:
        pass
