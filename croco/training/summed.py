"""Summed log-probs of answers under a checkpoint, the way training computes them: rows without padding, an output layer whose
logits are never all there, and each prompt once for all its answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from croco.engines.halving import in_halves
from croco.training import packed
from croco.training.examples import Example

Sequences = Sequence[tuple[list[int], list[int]]]
"""(prompt, answer) as ids."""


class Logps:
    """Of one model, whose adapter may be switched on and off between calls."""

    def __init__(self, model: Any, max_length: int, budget: int, too_much: str) -> None:
        """What the arguments are:

        model: of transformers, for causal language modelling.
        max_length: tokens of a prompt and its answer at most.
        budget: tokens of a forward pass, halved where the device has no room.
        too_much: what is said where there is none for one answer.
        """
        model.get_base_model = lambda: model  # what PEFT's models have
        self.model, self.max_length, self.budget, self.too_much = model, max_length, budget, too_much
        self.forward = packed.fitting(model, budget)

    def of(self, sequences: Sequences) -> list[float | None]:
        """Each answer's log-prob behind its prompt, summed over its tokens in float64; None where both are too long together."""
        sums: list[float | None] = [None if answer else 0.0 for _, answer in sequences]
        fits = [place for place, (p, a) in enumerate(sequences) if a and len(p) + len(a) <= self.max_length]
        for places in self._batches(sequences, fits):
            found = in_halves(self._sums, [sequences[place] for place in places], self.too_much)
            for place, value in zip(places, found, strict=True):
                sums[place] = value
        return sums

    @torch.no_grad()
    def _sums(self, sequences: Sequences) -> list[float]:
        examples = [
            Example(prompt, tuple(answer for _, answer in group))
            for prompt, group in itertools.groupby(sequences, key=lambda sequence: sequence[0])
        ]
        logps = self.forward(self.model, examples)
        return [part.sum().item() for part in logps.values.double().cpu().split(logps.lengths)]

    def _batches(self, sequences: Sequences, places: Sequence[int]) -> Iterator[list[int]]:
        """Places that are taken together: those of a prompt side by side where it is shared, else of like length."""
        shared = self.forward.shares_prompts
        order = sorted(places, key=lambda i: sequences[i][0] if shared else len(sequences[i][0]) + len(sequences[i][1]))
        batch: list[int] = []
        size, longest = 0, 0
        for place in order:
            prompt, answer = sequences[place]
            longest = max(longest, len(prompt) + len(answer))
            again = shared and bool(batch) and sequences[batch[-1]][0] == prompt
            more = size + len(answer) + (0 if again else len(prompt)) if shared else longest * (len(batch) + 1)
            if batch and more > self.budget:
                yield batch
                batch, longest = [], len(prompt) + len(answer)
                more = longest
            batch.append(place)
            size = more
        if batch:
            yield batch
