"""Attention over a packed row, and the self-test that a kernel must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from croco.training import attention
from croco.training.attention import (
    Heads,
    Layout,
    Segment,
    _Gathered,
    best,
    by_kernel,
    by_segment,
    kernel_fits,
    visible,
)
from tests.support.builders import build_policy

CPU = torch.device("cpu")
HEADS = Heads(4, 2, 8, (None, 4))


def test_what_a_window_of_two_shows() -> None:
    """Two queries at places 1 and 2 of three keys."""
    seen = visible(2, 3, 2, CPU)
    assert seen.tolist() == [[True, True, False], [False, True, True]]


def test_a_mask_is_added_to_scores_and_made_once() -> None:
    """What is not seen is -inf; two heads ask together; a mask for eight keys fewer is the last columns of the same one."""
    layout, unseen = Layout([Segment(0, 8, 0, 0), Segment(8, 12, 0, 8)], CPU), float("-inf")
    mask = layout.mask(2, 4, 2, torch.float32, 2)
    assert mask.tolist() == [[unseen, 0, 0, unseen], [unseen, unseen, 0, 0]] * 2
    more = layout.mask(2, 12, 2, torch.float32, 2)
    assert more.tolist() == [[unseen] * 9 + [0, 0, unseen], [unseen] * 10 + [0, 0]] * 2
    assert more.untyped_storage().data_ptr() == mask.untyped_storage().data_ptr()
    assert layout.mask(2, 3, 2, torch.float32, 2).tolist() == [[0, 0, unseen], [unseen, 0, 0]] * 2
    assert layout.mask(2, 2, None, torch.bfloat16, 1).tolist() == [[0, unseen], [0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_mask_begins_at_16_bytes(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's kernels read masks so, and torch checks a mask's strides alone: of rows of any length, each row and the first."""
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def noted(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, *more: Any, **named: Any) -> Tensor:
        seen.append((mask.data_ptr() % 16, mask.stride(0) * mask.element_size() % 16))
        return attend(query, key, value, mask, *more, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    for prompt in range(1, 20):
        segments = [Segment(0, prompt, 0, 0), Segment(prompt, prompt + 9, 0, prompt)]
        layout = Layout([*segments, Segment(prompt + 9, prompt + 10, 0, prompt)], CPU)
        inputs = [torch.randn(1, heads, prompt + 10, 8, dtype=dtype) for heads in (4, 2, 2)]
        for window in (None, 3):
            by_segment(*inputs, layout, None, 0.0, window)
    assert len(seen) == 19 * 3 * 2
    assert set(seen) == {(0, 0)}


@pytest.mark.parametrize("piece", [128, 2])
@pytest.mark.parametrize("window", [None, 3])
def test_segments_by_an_einsum(window: int | None, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two key heads for four query heads; attention without a kernel's help is the oracle, values and gradients."""
    monkeypatch.setattr(attention, "PIECE", piece)
    layout = Layout([Segment(0, 4, 0, 0), Segment(4, 5, 0, 4), Segment(5, 11, 0, 4), Segment(11, 13, 11, 11)], CPU)
    results = []
    for way in (by_segment, emulated):
        torch.manual_seed(1)
        inputs = [torch.randn(1, heads, 13, 8, requires_grad=True) for heads in (4, 2, 2)]
        out = way(*inputs, layout, None, 0.0, window)
        out.square().sum().backward()
        results.append([out, *(x.grad for x in inputs)])
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_the_kernels_index_maps_by_hand() -> None:
    """A prompt of 2 tokens, answers of 1 and 2: keys are 0 1 | 0 1 2 | 0 1 3 4."""
    layout = Layout([Segment(0, 2, 0, 0), Segment(2, 3, 0, 2), Segment(3, 5, 0, 2)], CPU)
    assert layout.places.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4]
    copies = [(rows.tolist(), places.tolist()) for rows, places in layout.copies]
    assert copies == [([0, 1, 2, 3, 4], [0, 1, 4, 7, 8]), ([0, 1], [2, 3]), ([0, 1], [5, 6])]
    queries, keys, longest_query, longest_key = layout.bounds
    assert (queries.tolist(), keys.tolist(), longest_query, longest_key) == ([0, 2, 3, 5], [0, 2, 5, 9], 2, 4)


def emulated(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: Any, dropout: float, window: Any
) -> Tensor:
    """What the kernel should compute, from its own arguments: causal to the bottom right, one sequence after the other."""
    queries, keys, _, _ = layout.bounds
    repeats = query.shape[1] // key.shape[1]
    k, v = (_Gathered.apply(x[0].transpose(0, 1), layout).repeat_interleave(repeats, 1) for x in (key, value))
    q = query[0].transpose(0, 1)
    out = []
    for n in range(len(queries) - 1):
        a, b, c, d = (int(x) for x in (queries[n], queries[n + 1], keys[n], keys[n + 1]))
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[c:d]) * (q.shape[-1] ** -0.5)
        distance = torch.arange(d - c - (b - a), d - c)[:, None] - torch.arange(d - c)[None]
        seen = (distance >= 0) & (distance < (window or 10**6))
        out.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v[c:d]))
    return torch.cat(out)[None]


def test_a_kernel_that_computes_the_same_passes() -> None:
    """Also of heads that are not those of the self-test of old, in half precision, over a row of 200 tokens."""
    assert kernel_fits(CPU, torch.float32, HEADS, 40, emulated) is None
    assert kernel_fits(CPU, torch.bfloat16, Heads(6, 3, 24, (7,)), 200, emulated) is None


def test_a_kernel_that_aligns_at_the_first_key_does_not() -> None:
    def top_left(query: Tensor, key: Tensor, value: Tensor, layout: Layout, *more: Any) -> Tensor:
        moved = Layout([Segment(s, t, s, s) for s, t, _, _ in layout.segments], CPU)  # as if answers saw no prompt
        return by_segment(query, key, value, moved, *more)

    reason = kernel_fits(CPU, torch.float32, HEADS, 40, top_left)
    assert reason is not None
    assert reason.startswith("its numbers are others: output by ")
    assert reason.endswith("window None, heads of 8")


def test_without_the_device_the_kernel_is_refused_with_its_reason() -> None:
    assert kernel_fits(CPU, torch.bfloat16, HEADS, 40, by_kernel)
    assert best(CPU, torch.bfloat16, HEADS, 40) is by_segment


def test_a_kernel_of_before_takes_fewer_key_heads_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.11 has no `enable_gqa`."""
    from torch.nn.attention import varlen

    def before(query: Tensor, *, window_size: Any = None) -> Tensor:
        return query

    monkeypatch.setattr(varlen, "varlen_attn", before)
    attention._kernel.cache_clear()
    assert attention._kernel(True) is before
    monkeypatch.undo()
    attention._kernel.cache_clear()
    assert attention._kernel(True).keywords == {"enable_gqa": True}  # type: ignore[attr-defined]
    attention._kernel.cache_clear()


@pytest.mark.parametrize("family", ["llama", "cohere2"])
def test_the_kernel_is_tried_with_the_models_own_heads(family: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(build_policy(tmp_path, family))
    assert Heads.of(model) == Heads(4, 2, 8, (None,) if family == "llama" else (None, 16))
