"""A language model as reward: it is shown a prompt and an answer, and writes a number."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from croco.engines.base import Answered, Generator, Request
from croco.language import disarm, objects, text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TAGGED = re.compile(r"<score>\s*(-?\d+(?:\.\d+)?)\s*</score>", re.IGNORECASE)
TAG = "score"
DIGITS = 9  # of a number's whole part at most, where a bound is infinite


class JudgeScorer:
    """Greedy, through any generator engine; the number between its tags, or of its JSON answer, is the reward.

    None where there is none or more than one, where it lies outside [low, high], where the judge was cut off, and where the
    message would be longer than `max_length`.
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
            rewards[completion.sample] = number(said, self.bounds) if completion.finish_reason == "stop" else None
        return rewards

    def _message(self, answered: Answered) -> str:
        """The template filled in, in one pass: a brace in an answer stays one."""
        values = {
            "prompt": disarm.tags(answered.messages[-1]["content"], (TAG,)),
            "answer": disarm.tags(answered.answer, (TAG,)),
            "language": self.names[answered.language],
        }
        return re.sub(r"\{(prompt|answer|language)\}", lambda match: values[match[1]], self.template)

    def close(self) -> None:
        self.generator.close()


def number(said: str, bounds: tuple[float, float]) -> float | None:
    """The number of `<score>7</score>`, or of `{"score": 7}` where that is all there is, if it lies within the bounds.

    None for any other text: of "8/10", "3 (scale 0-10)" or "8,5" no rule reads what was meant.
    """
    tagged = TAGGED.findall(said)
    value = float(tagged[0]) if len(tagged) == 1 else None if tagged else _of_json(said)
    return value if value is not None and bounds[0] <= value <= bounds[1] else None


def form(template: str, bounds: tuple[float, float]) -> str:
    """A regular expression of what is read: a tagged number, or the JSON answer where the template asks for that.

    A number has two decimals at most: nothing would end the digits of a model that is held to a number of any length.
    """
    digits = max(len(str(int(abs(bound)))) if math.isfinite(bound) else DIGITS for bound in bounds)
    value = ("-?" if bounds[0] < 0 else "") + rf"[0-9]{{1,{digits}}}(\.[0-9]{{1,2}})?"
    in_json = f"<{TAG}>" not in template and f'"{TAG}"' in template
    return rf'\{{"{TAG}": {value}\}}' if in_json else f"<{TAG}>{value}</{TAG}>"


def _of_json(said: str) -> float | None:
    value = (objects.whole(said) or {}).get(TAG)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
