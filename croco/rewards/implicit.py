"""Implicit reward: how much more a preference-tuned policy likes an answer than its reference does, asked in English.

    r(x, y) = sum_t log pi_tuned(y_t | P + x_en, y_<t) - sum_t log pi_ref(y_t | P + x_en, y_<t)

P asks for the answer's language, x_en is the English prompt, y the answer to its translation (Yang et al. 2025, arXiv
2503.04647, equation 5 without its factor beta, which orders nothing). DPO teaches the tuned policy from English preferences;
what it learned there ranks answers in any language.

Departures from the authors' code:
1. Every token of the answer counts, its first one and the end of the turn too. Their scorer shifts the mask the wrong way and
   leaves the first token out.
2. An answer of a model with the same tokenizer is scored as the ids that it sampled, with an end only where it ended; another's
   is encoded from its text and closed, as all answers are with `method.tokens=text` and in their code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from transformers import AutoModelForCausalLM

from croco.config.scorers import ENGLISH
from croco.engines.base import Answered, Message
from croco.language import text
from croco.models.checkpoints import Checkpoint, load, tokenizer_of
from croco.models.devices import release
from croco.training.summed import Logps


class ImplicitScorer:
    """See `base.Scorer`; a conversation longer than `max_length` gets None."""

    def __init__(
        self, checkpoint: Checkpoint, names: dict[str, str], prefix: str, max_length: int, score_tokens: int
    ) -> None:
        """What the arguments are:

        checkpoint: the reference, whose `adapter` makes it the tuned policy.
        names: English names of the languages.
        """
        self.tokenizer = tokenizer_of(checkpoint)
        self.model: Any
        self.model, _ = load(AutoModelForCausalLM, checkpoint)
        too_much = "out of memory scoring one answer; lower reward.max_length"
        self.logps = Logps(self.model, max_length, score_tokens, too_much)
        self.names, self.prefix = names, prefix

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`: log-probs under the tuned policy minus those under the reference."""
        sequences = [self._ids(answered) for answered in answers]
        tuned = self.logps.of(sequences)
        self.model.disable_adapters()
        try:
            reference = self.logps.of(sequences)
        finally:
            self.model.enable_adapters()
        ratios = [None if a is None or b is None else a - b for a, b in zip(tuned, reference, strict=True)]
        return [ratio if ratio is not None and math.isfinite(ratio) else None for ratio in ratios]

    def _ids(self, answered: Answered) -> tuple[list[int], list[int]]:
        """(prompt, answer) as ids."""
        messages = asked_in_english(answered, self.names, self.prefix)
        prompt = text.prompt_ids(self.tokenizer, messages)
        if answered.token_ids is not None:
            return prompt, list(answered.token_ids)
        return prompt, text.answer_ids(self.tokenizer, answered.answer)

    def close(self) -> None:
        del self.model, self.logps
        release()


def asked_in_english(answered: Answered, names: dict[str, str], prefix: str) -> list[Message]:
    """The English prompt, its last message behind the instruction to answer in the answer's language."""
    if answered.language == ENGLISH:
        return answered.messages
    *before, last = answered.english
    instruction = prefix.replace("{language}", names[answered.language])
    return [*before, {**last, "content": instruction + last["content"]}]
