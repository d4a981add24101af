"""Log-probs of answers."""

from __future__ import annotations

from typing import Any

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


def chunked_logps(hidden: Tensor, head: Tensor, targets: Tensor, chunk: int = 512) -> Tensor:
    """Log-prob of each target under a frozen output layer, without ever holding (N, V) at once.

    Args:
        hidden: (N, H) final hidden states, any floating type.
        head: (V, H) weights of the output layer; gets no gradient.
        targets: (N,) token ids.
        chunk: positions whose logits are alive together.

    Returns:
        (N,) in nats, float32.
    """
    values: Tensor = _ChunkedLogps.apply(hidden, head, targets, chunk)
    return values


class _ChunkedLogps(torch.autograd.Function):
    """The gradient of log p(y | h) with respect to h is W[y] - softmax(W h) W, times one number per token. So that row is made
    while the chunk's logits are there, and the backward pass needs neither them nor a second product with W."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, chunk: int) -> Tensor:
        values = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        rows = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), chunk):
            part = slice(start, start + chunk)
            logits = (hidden[part] @ head.T).float()
            logits.sub_(logits.amax(-1, keepdim=True))
            taken = logits.gather(-1, targets[part, None])[:, 0]
            total = logits.exp_().sum(-1)  # in place: nothing of the logits' size is made twice
            values[part] = taken - total.log()
            if rows is not None:
                expected = (logits.to(head.dtype) @ head) / total[:, None].to(head.dtype)
                rows[part] = head[targets[part]] - expected
        ctx.save_for_backward(rows)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (rows,) = ctx.saved_tensors
        return (gradients[0][:, None] * rows).to(rows.dtype), None, None, None
