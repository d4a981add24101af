"""A language model as reward: it is shown a prompt and an answer, and writes a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from croco.engines.base import Answered, Generator, Request
from croco.language import text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")


class JudgeScorer:
    """Greedy, through any generator engine; the last number in what it writes is the reward.

    None where there is no number, where it lies outside [low, high], and where the message would be longer than `max_length`.
    """

    def __init__(
        self,
        generator: Generator,
        tokenizer: PreTrainedTokenizerBase,
        names: dict[str, str],
        template: str,
        bounds: tuple[float, float],
        max_length: int,
    ) -> None:
        self.generator, self.tokenizer, self.names = generator, tokenizer, names
        self.template, self.bounds, self.max_length = template, bounds, max_length

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        rewards: list[float | None] = [None] * len(answers)
        requests = []
        for place, answered in enumerate(answers):
            ids = text.prompt_ids(self.tokenizer, [{"role": "user", "content": self._message(answered)}])
            if len(ids) <= self.max_length:
                # An answer's place is the sample's number, so that an engine that dies can name the prompts.
                requests.append(Request(answered.prompt_id, answered.language, ids, range(place, place + 1), seed=0))
        for completion in self.generator.generate(requests):
            said = text.decode(self.tokenizer, completion.token_ids)
            rewards[completion.sample] = number(said, self.bounds)
        return rewards

    def _message(self, answered: Answered) -> str:
        """The template filled in, in one pass: a brace in an answer stays one."""
        values = {
            "prompt": answered.messages[-1]["content"],
            "answer": answered.answer,
            "language": self.names[answered.language],
        }
        return re.sub(r"\{(prompt|answer|language)\}", lambda match: values[match[1]], self.template)

    def close(self) -> None:
        self.generator.close()


def number(said: str, bounds: tuple[float, float]) -> float | None:
    """The last number in a text, if it lies within the bounds."""
    found = NUMBER.findall(said)
    value = float(found[-1]) if found else None
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
