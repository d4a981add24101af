"""Attention over one row of many prompts and answers: a prompt sees itself, an answer sees its prompt and itself.

Two ways to compute it, one result: one SDPA per segment (any device), or one call of the variable-length flash kernel that torch
ships (CUDA, half precision). That the kernel aligns causal masks at the last query and key, which sharing a prompt needs, and
counts a window as transformers does, is not documented; `kernel_fits` tries it on the real device before it is used, with the
model's own heads, type and windows and rows as long as a pack.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

TOLERANCE = 2e-2  # of a half-precision result's norm: rounding comes to 2e-3 to 6e-3
PIECE = 128  # queries, about: fewer compute fewer scores that causality hides, more make better products
LANE = 8  # elements of a half: CUDA's kernels read masks 16 bytes at a time, and torch checks their strides, not where they start


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
        self._masks: dict[tuple[int, int, int | None, torch.dtype, int], Tensor] = {}

    def mask(self, queries: int, keys: int, window: int | None, dtype: torch.dtype, repeats: int) -> Tensor:
        """(repeats * queries, keys) to add to scores: 0 where a query sees a key, else -inf.

        It depends on the distance to the last key alone, so that one wider mask serves all layers and all numbers of keys; there
        is one for each remainder of keys by `LANE`, of which a slice begins, and each row of it, at 16 bytes.
        """
        room = -keys % LANE
        kind = (queries, room, window, dtype, repeats)
        if kind not in self._masks:
            widest = self.most_keys + (-(self.most_keys + room)) % LANE
            seen = F.pad(visible(queries, widest, window, self.device), (0, room))
            mask = torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill_(~seen, -torch.inf)
            self._masks[kind] = mask.repeat(repeats, 1)
        wide = self._masks[kind]
        return wide[:, wide.shape[1] - room - keys : wide.shape[1] - room]

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
        return on(self.device, torch.cat(parts))

    @functools.cached_property
    def copies(self) -> list[tuple[Tensor, Tensor]]:
        """Where the row's tokens are among `places`: first each token's own place, (row, place) for all, then the prompts' copies
        for their first answers, for their second ones, and so on; a token is in each of these at most once."""
        rounds: list[tuple[list[Tensor], list[Tensor]]] = [([], [])]
        answers: dict[int, int] = {}
        start = 0
        for s, t, p, q in self.segments:
            if q > p:
                number = answers[p] = answers.get(p, 0) + 1
                if number == len(rounds):
                    rounds.append(([], []))
                rounds[number][0].append(torch.arange(p, q))
                rounds[number][1].append(torch.arange(start, start + q - p))
            start += q - p
            rounds[0][0].append(torch.arange(s, t))
            rounds[0][1].append(torch.arange(start, start + t - s))
            start += t - s
        return [(on(self.device, torch.cat(rows)), on(self.device, torch.cat(places))) for rows, places in rounds]

    @functools.cached_property
    def bounds(self) -> tuple[Tensor, Tensor, int, int]:
        """Cumulative queries and keys, (segments + 1,) int32 each, and the longest of each."""
        queries = [t - s for s, t, _, _ in self.segments]
        keys = [n + q - p for n, (_, _, p, q) in zip(queries, self.segments, strict=True)]
        ends = [on(self.device, F.pad(torch.tensor(n).cumsum(0), (1, 0)).int()) for n in (queries, keys)]
        return ends[0], ends[1], max(queries), max(keys)


def on(device: torch.device, made: Tensor) -> Tensor:
    """What was made on the CPU, on the device; the host does not wait for what the device has yet to do."""
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made.to(device)


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
    queries, keys, longest_query, longest_key = layout.bounds
    out = _kernel(query.shape[1] != key.shape[1])(
        query[0].transpose(0, 1).contiguous(),
        _Gathered.apply(key[0].transpose(0, 1), layout),
        _Gathered.apply(value[0].transpose(0, 1), layout),
        queries,
        keys,
        longest_query,
        longest_key,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
    )
    assert isinstance(out, Tensor)
    return out[None]


@functools.cache
def _kernel(shared_keys: bool) -> Callable[..., Any]:
    """torch's; before 2.12 it takes fewer key heads than query heads without being told."""
    from torch.nn.attention.varlen import varlen_attn

    if shared_keys and "enable_gqa" in inspect.signature(varlen_attn).parameters:
        return functools.partial(varlen_attn, enable_gqa=True)
    return varlen_attn


class _Gathered(torch.autograd.Function):
    """x[layout.places]; the gradients of a prompt's copies are added in a fixed order, where indexing's own backward sorts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout) -> Tensor:
        ctx.layout = layout
        return x.index_select(0, layout.places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (_, own), *copies = ctx.layout.copies
        total = gradients[0].index_select(0, own)  # segments are the row in its order
        for rows, places in copies:
            total.index_add_(0, rows, gradients[0].index_select(0, places))
        return total, None


Attention = Callable[[Tensor, Tensor, Tensor, Layout, float | None, float, int | None], Tensor]


class Heads(NamedTuple):
    """What the attention of a model is like, so that a kernel is tried on nothing else."""

    queries: int
    keys: int
    size: int
    windows: tuple[int | None, ...]

    @classmethod
    def of(cls, base: Any) -> Heads:
        text = base.config.get_text_config()
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        layers = [getattr(layer, "self_attn", None) for layer in base.get_decoder().layers]
        windows = {getattr(layer, "sliding_window", None) for layer in layers}
        return cls(
            text.num_attention_heads, text.num_key_value_heads, size, tuple(sorted(windows, key=lambda w: w or 0))
        )


def best(device: torch.device, dtype: torch.dtype, heads: Heads, tokens: int) -> Attention:
    """The kernel where it can be used and does what is needed for rows of so many tokens, else a call per segment."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return by_segment
    reason = kernel_fits(device, dtype, heads, tokens)
    if reason is None:
        return by_kernel
    log.warning(
        "trainer.packing: the variable-length attention kernel is not used (%s); one call per segment instead", reason
    )
    return by_segment


def kernel_fits(
    device: torch.device, dtype: torch.dtype, heads: Heads, tokens: int, kernel: Attention = by_kernel
) -> str | None:
    """Why a kernel does not compute on this device what `by_segment` does in float32, values and gradients; None when it does."""
    layout, length = _trial(max(40, tokens), device)
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, count, length, heads.size) for count in (heads.queries, heads.keys, heads.keys)]
    start = [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]
    weights = torch.randn(1, length, heads.queries, heads.size, generator=generator).to(device, dtype)
    for window in heads.windows:
        results = []
        for attention, wide in ((by_segment, True), (kernel, False)):
            inputs = [x.to(torch.float32 if wide else dtype, copy=True).requires_grad_() for x in start]
            try:
                out = attention(inputs[0], inputs[1], inputs[2], layout, None, 0.0, window)
                (out.float() * weights).sum().backward()
            except (RuntimeError, NotImplementedError, ImportError, TypeError, ValueError) as error:
                return str(error).splitlines()[0]
            results.append([out.detach(), *(x.grad for x in inputs)])
        for name, expected, found in zip(("output", "dq", "dk", "dv"), *results, strict=True):
            assert expected is not None
            apart = math.inf if found is None else float((found.float() - expected).norm() / expected.norm())
            if not apart <= TOLERANCE:  # a NaN is not
                return f"its numbers are others: {name} by {apart:.0%}, window {window}, heads of {heads.size}"
    return None


def _trial(tokens: int, device: torch.device) -> tuple[Layout, int]:
    """A row of about so many tokens: a prompt with three answers, one of them a single token, and a prompt alone."""
    prompt, answer = tokens // 4, tokens // 6
    ends = [0, prompt, prompt + answer, prompt + answer + 1, prompt + 2 * answer + 1, tokens]
    starts = list(itertools.pairwise(ends))
    answers = [Segment(a, b, 0, prompt) for a, b in starts[1:4]]
    return Layout([Segment(0, prompt, 0, 0), *answers, Segment(ends[4], tokens, ends[4], ends[4])], device), tokens


def registered(attention: Attention) -> Callable[..., tuple[Tensor, None]]:
    """For transformers' attention interface; the layout comes through the model's keyword arguments.

    A compiled layer is two pieces around it: what a layout is like changes from pack to pack.
    """

    @torch.compiler.disable
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
        """As transformers calls it; returns no weights."""
        assert layout is not None, "the packed path passes it"
        return attention(query, key, value, layout, scaling, dropout, sliding_window), None

    return attend
