"""What a reward model is asked, and what its numbers become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from croco.engines.base import Answered
from croco.engines.conversations import Conversations, Ids, ReadingScorer
from croco.language import text


def test_equal_ones_once_too_long_ones_never_and_no_number_is_none(policy: Path) -> None:
    """Five answers: two equal, one too long, one whose reward is NaN, one infinite."""
    tokenizer = text.load_tokenizer(str(policy))
    question = [{"role": "user", "content": "what?"}]
    answers = [Answered(question, said, "da", "{}") for said in ("a", "b", "a", "x" * 300, "c")]
    asked: list[Ids] = []

    def rewards_of(conversations: Sequence[Ids]) -> dict[Ids, float]:
        asked.extend(conversations)
        return dict(zip(reversed(conversations), (math.inf, math.nan, 2.5), strict=True))  # in any order

    assert Conversations.of(tokenizer, 200, answers).rewards(rewards_of) == [2.5, None, 2.5, None, None]
    expected = [
        tuple(text.conversation_ids(tokenizer, [*question, {"role": "assistant", "content": said}])) for said in "abc"
    ]
    assert asked == expected


class Lengths(ReadingScorer):
    """A reward of a conversation's length; notes what it reads."""

    max_length = 200

    def __init__(self, policy: Path) -> None:
        self.tokenizer, self.seen = text.load_tokenizer(str(policy)), list[int]()

    def read(self, conversations: Sequence[Ids]) -> dict[Ids, float]:
        self.seen.append(len(conversations))
        return {ids: float(len(ids)) for ids in conversations}


def test_a_stream_gives_what_scoring_part_by_part_gives(policy: Path) -> None:
    """In order, an empty part and one that is all too long among them."""
    scorer = Lengths(policy)
    words = (["a", "bb", "a"], [], ["x" * 300], ["ccc"])
    parts = [[Answered([{"role": "user", "content": "what?"}], word, "da", "{}") for word in part] for part in words]
    assert list(scorer.stream(parts)) == list(enumerate(map(scorer.score, parts)))
    assert scorer.seen[:4] == [2, 0, 0, 1]
