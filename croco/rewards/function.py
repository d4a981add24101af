"""A Python function as reward, for rules that can be checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from croco.engines.base import Answered


class FunctionScorer:
    """Calls f(messages, answer, language, meta) for every answer; None or a number that is not finite is no score."""

    def __init__(self, function: Callable[..., float | None]) -> None:
        self.function = function

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        rewards = []
        for a in answers:
            reward = self.function(a.messages, a.answer, a.language, json.loads(a.meta))
            rewards.append(float(reward) if reward is not None and math.isfinite(reward) else None)
        return rewards

    def close(self) -> None:
        pass
