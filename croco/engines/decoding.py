"""Attention and cache for writing token by token, where transformers copies what it need not.

A step asks with one query per head. Transformers repeats keys and values until every query head has its own copies; here the
query heads that share a key head ask together, as if they were several positions of one head: the same numbers, and nothing is
copied. And its cache is copied whole to append a position; here it has room, and is copied when that is used up.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "croco_decoding"
FIRST_ROOM = 64  # positions


def prepare(model: Any) -> None:
    """Let a model whose attention is SDPA use this one; any other is left as it is."""
    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' SDPA; for a single position without copies of keys and values.

    Args:
        query: shape (rows, heads, positions, size).
        key, value: shape (rows, key heads, positions before and with this one, size).
        attention_mask: True where a position is seen, shape (rows, 1, positions, positions before and with this one).

    Returns:
        Shape (rows, positions, heads, size).
    """
    rows, heads, positions, size = query.shape
    alike = attention_mask is None or attention_mask.shape[1] == 1  # for all heads
    if positions > 1 or heads == key.shape[1] or not alike or more.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    together = query.view(rows, key.shape[1], heads // key.shape[1], size)
    out = torch.nn.functional.scaled_dot_product_attention(
        together, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return out.reshape(rows, 1, heads, value.shape[-1]), None


class RoomyLayer(DynamicLayer):
    """A layer of the cache whose `keys` and `values` are the used part of larger tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.room: list[torch.Tensor] | None = None
        """What `keys` and `values` are the first positions of; None while they are all there is."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a step's keys and values, (rows, heads, tokens, D) each; returns all there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        assert self.keys is not None
        assert self.values is not None
        before = self.keys.shape[2]
        after = before + key_states.shape[2]
        if self.room is None or self.room[0].shape[2] < after:
            self.room = [_with_room(used, after) for used in (self.keys, self.values)]
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, before:after] = new
        self.keys, self.values = (room[:, :, :after] for room in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None


def _with_room(used: torch.Tensor, least: int) -> torch.Tensor:
    """A tensor that begins with `used` and has at least `least` positions."""
    rows, heads, before, size = used.shape
    room = used.new_empty(rows, heads, max(least, before + max(FIRST_ROOM, before // 4)), size)
    room[:, :, :before] = used
    return room


def roomy_cache(config: Any) -> DynamicCache:
    """A cache for a model of this configuration; layers with a sliding window are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
