"""The same log-probs in less work: rows without padding, each prompt encoded once for all its answers.

A pack is one row of tokens, [prompt | answer | answer | prompt | answer | ...], in which the positions of every answer go on
behind its own prompt. Attention is given by segments: a prompt sees itself, an answer sees its prompt and itself. An answer's
last token is a target only and never enters the row. It plugs into transformers' attention interface; no model is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from croco.maths.logps import chunked_logps
from croco.training.data import Example
from croco.training.policy import Forward
from croco.training.policy import forward as padded

log = logging.getLogger(__name__)

NAME = "croco_segments"
FAMILIES = frozenset({"llama", "cohere2", "qwen3", "gemma3_text"})
"""Model types whose attention is proven to be what `attend` computes (tests/training/test_packed.py)."""


class Segment(NamedTuple):
    """Tokens [start, stop) of the row; they also see those of their prompt, [prompt_start, prompt_stop)."""

    start: int
    stop: int
    prompt_start: int
    prompt_stop: int


@dataclass(frozen=True)
class Row:
    """A pack laid out; `sources` are the places whose hidden state predicts `targets`, answer after answer."""

    ids: list[int]
    positions: list[int]
    segments: list[Segment]
    sources: list[int]
    targets: list[int]
    lengths: list[int]
    """Tokens of every answer, answers of one example together."""


def lay_out(examples: Sequence[Example]) -> Row:
    """One row of all examples."""
    row = Row([], [], [], [], [], [])
    for example in examples:
        begin = len(row.ids)
        end = begin + len(example.prompt)
        row.ids.extend(example.prompt)
        row.positions.extend(range(len(example.prompt)))
        row.segments.append(Segment(begin, end, begin, begin))
        for answer in example.answers:
            start, inner = len(row.ids), answer[:-1]
            row.ids.extend(inner)
            row.positions.extend(range(len(example.prompt), len(example.prompt) + len(inner)))
            if inner:
                row.segments.append(Segment(start, start + len(inner), begin, end))
            row.sources.extend([end - 1, *range(start, start + len(inner))])
            row.targets.extend(answer)
            row.lengths.append(len(answer))
    return row


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: Sequence[Segment] = (),
    **_: Any,
) -> tuple[Tensor, None]:
    """One SDPA per segment; query (1, heads, T, D), key and value (1, key heads, T, D); returns (1, T, heads, D)."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    parts = []
    for start, stop, prompt_start, prompt_stop in segments:
        own, before = slice(start, stop), slice(prompt_start, prompt_stop)
        keys, values = (torch.cat([x[:, :, before], x[:, :, own]], 2) for x in (key, value))
        mask = visible(stop - start, keys.shape[2], sliding_window, query.device)
        parts.append(
            F.scaled_dot_product_attention(
                query[:, :, own], keys, values, attn_mask=mask, dropout_p=dropout, scale=scaling
            )
        )
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def visible(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """(queries, keys): the last query is at the last key's place, and a token sees itself and at most window - 1 before it."""
    places = torch.arange(keys, device=device)
    distance = places[keys - queries :, None] - places[None]
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def packed(model: Any, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """What `policy.forward` returns, from one row."""
    base, row = model.get_base_model(), lay_out(examples)
    ids = torch.tensor([row.ids], device=model.device)
    positions = torch.tensor([row.positions], device=model.device)
    states = base.model(
        input_ids=ids, position_ids=positions, use_cache=False, segments=row.segments
    ).last_hidden_state[0]
    sources = torch.tensor(row.sources, device=model.device)
    scale = getattr(base.config, "logit_scale", None)
    hidden = states[sources] if scale is None else states[sources] * scale
    targets = torch.tensor(row.targets, device=model.device)
    logps = chunked_logps(hidden, base.get_output_embeddings().weight, targets)
    sums = torch.stack([part.sum() for part in logps.split(row.lengths)])
    tokens = torch.tensor(row.lengths, dtype=logps.dtype, device=model.device)
    width = len(examples[0].answers)
    return sums.view(-1, width).T, tokens.view(-1, width).T


def choose(model: Any, wanted: bool) -> Forward:
    """The packed path where it is wanted and proven for this model, else the padded one; a refusal is logged."""
    if not wanted:
        return padded
    base = model.get_base_model()
    reason = refusal(base)
    if reason is not None:
        log.warning("trainer.packing: %s; training goes on with padded rows, same numbers, more work", reason)
        return padded
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, lambda *arguments, **keywords: None)
    base.set_attn_implementation(NAME)
    return packed


def refusal(base: Any) -> str | None:
    """Why a model cannot be packed; None when it can."""
    config = base.config
    if config.model_type not in FAMILIES:
        return f"not proven for model type '{config.model_type}'"
    if getattr(config, "final_logit_softcapping", None) or getattr(config, "attn_logit_softcapping", None):
        return "the model caps its logits"
    if getattr(base.get_output_embeddings(), "bias", None) is not None:
        return "its output layer has a bias"
    targets = model_targets(base)
    if any(module is base.get_output_embeddings() for module in targets):
        return "its output layer has an adapter"
    return None


def model_targets(base: Any) -> list[Any]:
    """The modules that carry an adapter."""
    return [module for module in base.modules() if hasattr(module, "lora_A")]
