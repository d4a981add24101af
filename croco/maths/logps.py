"""Log-probs of answers."""

from __future__ import annotations

import torch
from torch import Tensor


def answer_logps(logits: Tensor, ids: Tensor, answer: Tensor) -> Tensor:
    """Log-prob of every answer token given what precedes it.

    Args:
        logits: (B, T, V), any floating type.
        ids: (B, T) the tokens the logits were computed from.
        answer: (B, T) true where a token belongs to the answer.

    Returns:
        (B, T) in nats, float32; entry t is log p(ids[t] | ids[:t]), 0 where `answer` is false and at t = 0.
    """
    places = answer[:, 1:]
    chosen = logits[:, :-1][places].float()  # only answer positions are ever made float32
    taken = ids[:, 1:][places]
    values = chosen.gather(-1, taken[:, None])[:, 0] - chosen.logsumexp(-1)
    out = torch.zeros(ids.shape, dtype=torch.float32, device=logits.device)
    out[:, 1:] = out[:, 1:].masked_scatter(places, values)
    return out
