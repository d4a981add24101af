"""A Python function as reward, for rules that can be checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from croco.config import functions
from croco.engines.base import Answered
from croco.errors import UserError


class FunctionScorer:
    """Calls f(messages, answer, language, meta) for every answer; None or a number that is not finite is no score."""

    def __init__(self, function: Callable[..., Any], name: str, seconds: float | None = None) -> None:
        self.function, self.name, self.seconds = function, name, seconds

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`.

        Raises:
            UserError: a call raises, takes too long, or gives back no number; it names function, prompt and language.
        """
        return [self._one(answer) for answer in answers]

    def _one(self, a: Answered) -> float | None:
        messages = [dict(message) for message in a.messages]  # its own, to change as it likes
        try:
            with functions.within(self.seconds):
                return functions.number(self.function(messages, a.answer, a.language, json.loads(a.meta)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's own, of any kind
            raise UserError(
                f"reward.function: {self.name}, prompt {a.prompt_id} ({a.language}): {functions.reason(error)}; what was "
                "scored is kept, and the same command goes on from there"
            ) from error

    def close(self) -> None:
        pass
