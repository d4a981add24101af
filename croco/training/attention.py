"""Attention over one row of many prompts and answers: a prompt sees itself, an answer sees its prompt and itself.

Two ways to compute it, one result: one SDPA per segment (any device), or one call of the variable-length flash kernel that torch
ships (CUDA, half precision). That the kernel aligns causal masks at the last query and key, which sharing a prompt needs, and
counts a window as transformers does, is not documented; `kernel_fits` tries it on the real device before it is used.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

TOLERANCE = 3e-2  # of bfloat16 outputs of order 1
PIECE = 128  # queries, about: fewer compute fewer scores that causality hides, more make better products


class Segment(NamedTuple):
    """Tokens [start, stop) of the row; they also see those of their prompt, [prompt_start, prompt_stop)."""

    start: int
    stop: int
    prompt_start: int
    prompt_stop: int


class Layout:
    """The segments of a row on a device, with what the layers of a model would otherwise compute again and again."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        self.segments, self.device = list(segments), device
        self._masks: dict[tuple[int, int | None, torch.dtype, int], Tensor] = {}

    def mask(self, queries: int, keys: int, window: int | None, dtype: torch.dtype, repeats: int) -> Tensor:
        """(repeats * queries, keys) to add to scores: 0 where a query sees a key, else -inf.

        It depends on the distance to the last key alone, so that one mask serves all layers and all numbers of keys.
        """
        kind = (queries, window, dtype, repeats)
        if kind not in self._masks:
            seen = visible(queries, self.most_keys, window, self.device)
            mask = torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill_(~seen, -torch.inf)
            self._masks[kind] = mask.repeat(repeats, 1)
        return self._masks[kind][:, self.most_keys - keys :]

    @functools.cached_property
    def most_keys(self) -> int:
        """Of a segment: its prompt's and its own."""
        return max(t - s + q - p for s, t, p, q in self.segments)

    @functools.cached_property
    def sizes(self) -> list[int]:
        """Tokens of every segment; together they are the row."""
        return [segment.stop - segment.start for segment in self.segments]

    @functools.cached_property
    def prompts(self) -> list[int | None]:
        """The number of every segment's prompt among the segments; None for a prompt."""
        numbers = {segment.start: number for number, segment in enumerate(self.segments)}
        return [numbers[p] if q > p else None for _, _, p, q in self.segments]

    @functools.cached_property
    def places(self) -> Tensor:
        """(K,) the row's place of every key, segment after segment: the prompt's, then the segment's own."""
        parts = [torch.arange(a, b) for s, t, p, q in self.segments for a, b in ((p, q), (s, t))]
        return torch.cat(parts).to(self.device)

    @functools.cached_property
    def bounds(self) -> tuple[Tensor, Tensor, int, int]:
        """Cumulative queries and keys, (segments + 1,) int32 each, and the longest of each."""
        queries = [t - s for s, t, _, _ in self.segments]
        keys = [n + q - p for n, (_, _, p, q) in zip(queries, self.segments, strict=True)]
        ends = [F.pad(torch.tensor(n).cumsum(0), (1, 0)).to(self.device, torch.int32) for n in (queries, keys)]
        return ends[0], ends[1], max(queries), max(keys)


def visible(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """(queries, keys): the last query is at the last key's place, and a token sees itself and at most window - 1 before it."""
    places = torch.arange(keys, device=device)
    distance = places[keys - queries :, None] - places[None]
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def by_segment(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    """query (1, heads, T, D), key and value (1, key heads, T, D); returns (1, T, heads, D).

    A segment's queries are taken in pieces, which do not compute scores of keys behind them. The heads that share a key head
    ask together, as one longer sequence: no key is copied, and the products are larger.
    """
    shared = key.shape[1]
    query, key, value = query[0].unflatten(0, (shared, -1)), key.transpose(0, 1), value.transpose(0, 1)
    repeats, parts = query.shape[1], []
    # Split, not sliced: the gradient of a slice is a row of zeros around it, made and added once for each.
    queries, keys, values = (x.split(layout.sizes, 2) for x in (query, key, value))
    for own, prompt in enumerate(layout.prompts):
        q, k, v = queries[own], keys[own], values[own]
        last = k.shape[2]
        if prompt is not None:
            k, v = torch.cat([keys[prompt], k], 2), torch.cat([values[prompt], v], 2)
        seen = k.shape[2] - last
        for piece in q.split(math.ceil(last / max(1, round(last / PIECE))), 2):
            seen += piece.shape[2]
            mask = layout.mask(piece.shape[2], seen, window, q.dtype, repeats)
            asked = piece.reshape(shared, 1, -1, piece.shape[3])
            out = F.scaled_dot_product_attention(asked, k[:, :, :seen], v[:, :, :seen], mask, dropout, scale=scale)
            parts.append(out.view(piece.shape).permute(2, 0, 1, 3))
    return torch.cat(parts).flatten(1, 2)[None]


def by_kernel(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    """As `by_segment`, without dropout."""
    from torch.nn.attention.varlen import varlen_attn

    queries, keys, longest_query, longest_key = layout.bounds
    out = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1)[layout.places],
        value[0].transpose(0, 1)[layout.places],
        queries,
        keys,
        longest_query,
        longest_key,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, Tensor)
    return out[None]


Attention = Callable[[Tensor, Tensor, Tensor, Layout, float | None, float, int | None], Tensor]


def best(device: torch.device, dtype: torch.dtype) -> Attention:
    """The kernel where it can be used and does what is needed, else a call per segment."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return by_segment
    reason = kernel_fits(device, dtype)
    if reason is None:
        return by_kernel
    log.warning(
        "trainer.packing: the variable-length attention kernel is not used (%s); one call per segment instead", reason
    )
    return by_segment


def kernel_fits(device: torch.device, dtype: torch.dtype, kernel: Attention = by_kernel) -> str | None:
    """Why a kernel does not compute what `by_segment` does on this device, values and gradients; None when it does."""
    generator = torch.Generator().manual_seed(0)
    layout = Layout([Segment(0, 7, 0, 0), Segment(7, 12, 0, 7), Segment(12, 13, 0, 7), Segment(13, 40, 13, 13)], device)
    shapes = ((1, 4, 40, 64), (1, 2, 40, 64), (1, 2, 40, 64))
    start = [torch.randn(s, generator=generator).to(device, dtype) for s in shapes]
    for window in (None, 4):
        results = []
        for attention in (by_segment, kernel):
            inputs = [x.clone().requires_grad_() for x in start]
            try:
                out = attention(inputs[0], inputs[1], inputs[2], layout, None, 0.0, window)
                out.float().square().sum().backward()
            except (RuntimeError, NotImplementedError, ImportError, TypeError) as error:
                return str(error).splitlines()[0]
            results.append([out, *(x.grad for x in inputs)])
        for expected, found in zip(*results, strict=True):
            assert expected is not None
            if found is None or not torch.allclose(expected.float(), found.float(), atol=TOLERANCE, rtol=TOLERANCE):
                return f"its numbers are others (window {window})"
    return None


def registered(attention: Attention) -> Callable[..., tuple[Tensor, None]]:
    """For transformers' attention interface; the layout comes through the model's keyword arguments."""

    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        layout: Layout | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        assert layout is not None, "the packed path passes it"
        return attention(query, key, value, layout, scaling, dropout, sliding_window), None

    return attend
