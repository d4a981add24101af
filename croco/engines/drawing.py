"""From logits to the next token of every row.

A token is the inverse of the cumulative distribution at the row's uniform number. Summed in float32 a large vocabulary would
never draw its last tokens, and in float64 the sum is a third of the whole work on a CPU; so the vocabulary is cut into blocks:
float32 sums of a block's few weights, a float64 sum of the blocks, and within the block that is met a float64 sum of its own.
"""

from __future__ import annotations

import torch

BLOCK = 128  # tokens of the vocabulary that are summed together
PIECE = 1 << 19  # logits that a CPU looks at together: few enough to stay in its cache
LIKELY = 512  # tokens among which top_p is looked for first, before the whole vocabulary is sorted


def draw(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """One token id per row, shape (rows,); the most likely at temperature 0.

    A row's token depends on its own logits and number, and not on the rows beside it.

    Args:
        logits: shape (rows, vocabulary).
        uniforms: in [0, 1), float64, shape (rows,).
    """
    if temperature == 0:
        return logits.argmax(-1)
    rows = len(logits) if logits.is_cuda else max(1, PIECE // logits.shape[1])
    pieces = zip(logits.split(rows), uniforms.split(rows), strict=True)
    return torch.cat([_inverse(_weights(piece, temperature, top_p), uniform) for piece, uniform in pieces])


def _weights(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """What each token weighs in float32, not normalised; zeros fill the last block. Shape (rows, blocks * BLOCK)."""
    vocabulary = logits.shape[1]
    weights = logits.new_zeros(len(logits), -(-vocabulary // BLOCK) * BLOCK, dtype=torch.float32)
    own = weights[:, :vocabulary]
    own.copy_(logits)
    if temperature != 1:
        own /= temperature
    own -= own.amax(-1, keepdim=True)
    own.exp_()
    return weights if top_p == 1 else _nucleus(weights, top_p)


def _nucleus(weights: torch.Tensor, top_p: float) -> torch.Tensor:
    """The heaviest tokens that together have `top_p` of a row's weight, with all that weigh as much as the last of them;
    the others weigh nothing."""
    enough = top_p * weights.sum(-1, keepdim=True)
    ranked = weights.topk(min(LIKELY, weights.shape[1]), dim=-1).values
    least = _least(ranked, enough)
    flat = (ranked.sum(-1, keepdim=True) < enough)[:, 0].nonzero()[:, 0]
    if len(flat):
        least[flat] = _least(weights[flat].sort(dim=-1, descending=True).values, enough[flat])
    return weights.masked_fill_(weights < least, 0)


def _least(ranked: torch.Tensor, enough: torch.Tensor) -> torch.Tensor:
    """The weight with which a falling row passes `enough`, shape (rows, 1)."""
    before = ranked.cumsum(-1) - ranked
    return ranked.gather(-1, (before < enough).sum(-1, keepdim=True) - 1)


def _inverse(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The token at which each row's cumulative weight passes `uniforms` of the whole, shape (rows,)."""
    blocks = weights.view(len(weights), -1, BLOCK)
    each = blocks.sum(-1).double()
    upto = each.cumsum(-1)
    target = uniforms[:, None] * upto[:, -1:]
    block = _passed(upto, target)
    within = blocks[torch.arange(len(weights), device=weights.device), block[:, 0]].double().cumsum(-1)
    rest = target - (upto - each).gather(1, block)
    return (block * BLOCK + _passed(within, rest))[:, 0]


def _passed(cumulative: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The first place with more than `target`, shape (rows, 1); the last that adds anything where rounding leaves none."""
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)
    return torch.searchsorted(cumulative, target, right=True).minimum(last)
