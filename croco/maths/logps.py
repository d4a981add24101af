"""Log-probs of answers."""

from __future__ import annotations

import math
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
    values = target_logps(logits[:, :-1][places], ids[:, 1:][places])  # only answer positions are ever made float32
    out = torch.zeros(ids.shape, dtype=torch.float32, device=logits.device)
    out[:, 1:] = out[:, 1:].masked_scatter(places, values)
    return out


def target_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-prob of each target, (N,) in nats, float32, from logits of shape (N, V)."""
    logits = logits.float()
    return logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)


def chunked_logps(hidden: Tensor, head: Tensor, targets: Tensor, chunk: int = 512, tile: int | None = None) -> Tensor:
    """Log-prob of each target under a frozen output layer, without ever holding (N, V) at once.

    Args:
        hidden: (N, H) final hidden states, any floating type.
        head: (V, H) weights of the output layer; gets no gradient.
        targets: (N,) token ids.
        chunk: positions whose logits are alive together, at most.
        tile: tokens of the vocabulary whose logits are alive together; by default what suits the device.

    Returns:
        (N,) in nats, float32.
    """
    if tile is None:  # on a CPU the logits stay in its cache: 2 MB
        tile = 1024 if hidden.device.type == "cpu" else len(head)
    even = math.ceil(len(targets) / max(1, math.ceil(len(targets) / chunk)))
    values: Tensor = _ChunkedLogps.apply(hidden, head, targets, max(1, even), tile)
    return values


class _ChunkedLogps(torch.autograd.Function):
    """The gradient of log p(y | h) with respect to h is W[y] - softmax(W h) W, times one number per token. So that row is made
    while the chunk's logits are there, and the backward pass needs neither them nor a second product with W."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, chunk: int, tile: int) -> Tensor:
        values = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        rows = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), chunk):
            part = slice(start, start + chunk)
            values[part], expected = _of_chunk(hidden[part], head, targets[part], tile, rows is not None)
            if rows is not None:
                rows[part] = head[targets[part]] - expected
        ctx.save_for_backward(rows)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (rows,) = ctx.saved_tensors
        return (gradients[0][:, None] * rows).to(rows.dtype), None, None, None, None


def _of_chunk(hidden: Tensor, head: Tensor, targets: Tensor, tile: int, expects: bool) -> tuple[Tensor, Tensor]:
    """log p(y | h), (n,), and where `expects`, softmax(W h) W, (n, H), both float32; a tile of the vocabulary after another.

    Sums are kept relative to the highest logit so far, and shrink when a higher one comes (the online softmax of Milakov and
    Gimelshein, arXiv 1805.02867).
    """
    top = torch.full((len(hidden), 1), -torch.inf, device=hidden.device)
    taken, total = torch.zeros_like(top), torch.zeros_like(top)
    expected = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device)
    room = hidden.new_empty(len(hidden) * min(tile, len(head)))  # one for all tiles: it stays in a CPU's cache
    first = 0
    for weights in head.split(tile):
        shape = len(hidden), len(weights)
        logits = torch.mm(hidden, weights.T, out=room[: math.prod(shape)].view(shape)).float()
        place = targets[:, None] - first
        inside = (place >= 0) & (place < len(weights))
        taken = torch.where(inside, logits.gather(-1, place.clamp(0, len(weights) - 1)), taken)
        highest = torch.maximum(top, logits.amax(-1, keepdim=True))
        shrinks = (top - highest).exp_()
        logits.sub_(highest).exp_()  # in place: nothing of the logits' size is made twice
        total.mul_(shrinks).add_(logits.sum(-1, keepdim=True))
        if expects:
            _add_product(expected.mul_(shrinks), logits, weights)
        top, first = highest, first + len(weights)
    return (taken - top - total.log())[:, 0], expected.div_(total)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, the product in the type of `right`."""
    if right.dtype == total.dtype:
        total.addmm_(left, right)  # no product of its own to write and read
    else:
        total.add_(left.to(right.dtype) @ right)
