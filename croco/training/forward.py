"""Log-probs of answers under a model: what every path gives back, and the plain path over padded rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from croco.maths.logps import answer_logps
from croco.training.examples import Example, Examples


@dataclass(frozen=True)
class AnswerLogps:
    """Per-token log-probs of answers, those of one example together, examples in the order they came in."""

    values: Tensor
    """(N,) nats, float32; answer after answer."""
    lengths: list[int]
    """Tokens of every answer; they sum to N."""

    def sums(self, width: int) -> Tensor:
        """(answers per example, examples): sum over each answer's tokens.

        In float64: a long answer's log-prob is thousands of nats, of which a margin keeps a few tenths.
        """
        counts = torch.tensor(self.lengths, device=self.values.device)
        return torch.segment_reduce(self.values.double(), "sum", lengths=counts).view(-1, width).T

    def tokens(self, width: int) -> Tensor:
        """(answers per example, examples): tokens of each answer."""
        return torch.tensor(self.lengths, dtype=torch.float64, device=self.values.device).view(-1, width).T


@dataclass(frozen=True)
class Forward:
    """A way from (PEFT model, examples) to the log-probs of all their answers. All ways give the same up to rounding."""

    name: str
    """Tells its rounding from another's; no two have the same."""
    logps: Callable[[Any, Sequence[Example]], AnswerLogps]
    shares_prompts: bool
    """Whether a prompt is encoded once for all its answers."""

    def __call__(self, model: Any, examples: Sequence[Example]) -> AnswerLogps:
        return self.logps(model, examples)

    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        """(examples,) int64: tokens that each takes in a forward pass."""
        return Examples.of(examples).sizes(self.shares_prompts)


def _padded(model: Any, examples: Sequence[Example]) -> AnswerLogps:
    sequences = [(e.prompt, answer) for e in examples for answer in e.answers]
    longest = max(len(p) + len(a) for p, a in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    answer = torch.zeros_like(ids, dtype=torch.bool)
    for row, (p, a) in enumerate(sequences):
        ids[row, : len(p) + len(a)] = torch.tensor(p + a)
        mask[row, : len(p) + len(a)] = 1
        answer[row, len(p) : len(p) + len(a)] = True
    ids, mask, answer = ids.to(model.device), mask.to(model.device), answer.to(model.device)
    logps = answer_logps(model(input_ids=ids, attention_mask=mask, use_cache=False).logits, ids, answer)
    return AnswerLogps(logps[answer], [len(a) for _, a in sequences])


padded = Forward("padded", _padded, shares_prompts=False)
"""One row per answer, all as long as the longest; any causal language model."""
