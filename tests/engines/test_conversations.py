"""What a reward model is asked, and what its numbers become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from croco.engines.base import Answered
from croco.engines.conversations import Ids, score_once
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

    assert score_once(tokenizer, answers, 200, rewards_of) == [2.5, None, 2.5, None, None]
    expected = [
        tuple(text.conversation_ids(tokenizer, [*question, {"role": "assistant", "content": said}])) for said in "abc"
    ]
    assert asked == expected
