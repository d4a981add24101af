"""Summed log-probs of answers under a checkpoint, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from croco.maths.logps import answer_logps


@torch.inference_mode()
def summed_logps(model: Any, sequences: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """(B,) log-prob of each answer behind its prompt, summed over the answer's tokens; float64 on the CPU."""
    longest = max(len(p) + len(a) for p, a in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask, answer = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, (p, a) in enumerate(sequences):
        ids[row, : len(p) + len(a)] = torch.tensor(p + a)
        mask[row, : len(p) + len(a)] = 1
        answer[row, len(p) : len(p) + len(a)] = True
    ids, mask, answer = (x.to(model.device) for x in (ids, mask, answer))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return answer_logps(logits, ids, answer).double().sum(1).cpu()


def batches(
    sequences: Sequence[tuple[list[int], list[int]]], max_length: int, budget: int
) -> list[list[tuple[int, tuple[list[int], list[int]]]]]:
    """Places and sequences, shortest first, in batches whose padded size is at most `budget` tokens; too long ones left out."""
    sized = sorted((len(p) + len(a), place) for place, (p, a) in enumerate(sequences))
    batches: list[list[tuple[int, tuple[list[int], list[int]]]]] = [[]]
    for size, place in sized:
        if size > max_length:
            continue
        if batches[-1] and size * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append((place, sequences[place]))
    return batches if batches[0] else []
