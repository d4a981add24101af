"""What saves copies while writing gives what transformers gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from croco.engines import decoding


@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("positions", [1, 3])
def test_attention_is_transformers_own(heads: int, positions: int) -> None:
    """Rows of different lengths, left-padded, two key heads."""
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(4, heads, positions, 8, generator=draw)
    key, value = (torch.randn(4, 2, 9, 8, generator=draw) for _ in range(2))
    mask = (torch.arange(9) >= torch.tensor([[0], [3], [5], [6]]))[:, None, None].expand(4, 1, positions, 9)
    module = SimpleNamespace(num_key_value_groups=heads // 2)
    ours, _ = decoding.attend(module, query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    assert ours.shape == theirs.shape == (4, positions, heads, 8)
    torch.testing.assert_close(ours, theirs)


def test_the_roomy_cache_holds_what_transformers_own_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through growth and the dropping of rows, at once after the prompt, behind a growth and before one."""
    monkeypatch.setattr(decoding, "FIRST_ROOM", 2)
    draw = torch.Generator().manual_seed(0)
    ours, theirs = decoding.RoomyLayer(), DynamicLayer()
    rows = 5
    for step in range(12):
        new = [torch.randn(rows, 2, 7 if step == 0 else 1, 4, generator=draw) for _ in range(2)]
        for got, expected in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(got, expected)
        if step in (0, 4, 5):
            keep = torch.arange(1, rows)
            ours.batch_select_indices(keep)
            theirs.batch_select_indices(keep)
            rows -= 1
        assert ours.get_seq_length() == theirs.get_seq_length() == 7 + step


def test_sliding_windows_keep_transformers_layers() -> None:
    config = AutoConfig.for_model(
        "gemma3_text", num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], sliding_window=4
    )
    sliding, full = decoding.roomy_cache(config).layers
    assert type(sliding).__name__ == "DynamicSlidingWindowLayer"
    assert isinstance(full, decoding.RoomyLayer)
