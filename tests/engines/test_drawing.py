"""The draw against sums in float64 over the whole vocabulary, and what it may never do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from croco.engines import drawing
from croco.engines.drawing import draw


def oracle(logits: torch.Tensor, uniform: float) -> int:
    """The inverse of the cumulative distribution in float64."""
    weights = np.exp(logits.double().numpy() - logits.max().item())
    return int(np.searchsorted(weights.cumsum(), uniform * weights.sum(), side="right"))


def uniforms(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [3, 320, 49_152, 50_001])
def test_tokens_are_those_of_the_whole_sum_in_double_precision(vocabulary: int, dtype: torch.dtype) -> None:
    """Also where the vocabulary is no multiple of a block. Numbers within the rounding of a border may fall on either side of
    it: with 200 rows and 5e-7 of rounding none does."""
    generator = torch.Generator().manual_seed(vocabulary)
    logits = (torch.randn(200, vocabulary, generator=generator) * 3).to(dtype)
    numbers = torch.rand(200, dtype=torch.float64, generator=generator)
    expected = [oracle(row, u) for row, u in zip(logits.float(), numbers.tolist(), strict=True)]
    assert draw(logits, numbers, 1.0, 1.0).tolist() == expected


def test_the_last_tokens_of_a_large_vocabulary_are_drawn() -> None:
    """262,144 equal tokens at the largest number below 1 give the last one, and (k + 1/2) / n gives k: in float32 sums of n
    terms the borders are off by many tokens."""
    n = 262_144
    places = [0, 1, 127, 128, n // 3, n - 129, n - 2, n - 1]
    logits = torch.zeros(len(places) + 1, n)
    numbers = uniforms(*[(k + 0.5) / n for k in places], np.nextafter(1.0, 0.0))
    assert draw(logits, numbers, 1.0, 1.0).tolist() == [*places, n - 1]


def test_no_token_without_weight_is_drawn_at_either_end() -> None:
    """Weight on token 130 alone of 300: neither the first block, nor the fill of the last, whatever the number."""
    logits = torch.full((2, 300), -torch.inf)
    logits[:, 130] = 5.0
    assert draw(logits, uniforms(0.0, np.nextafter(1.0, 0.0)), 1.0, 1.0).tolist() == [130, 130]


def test_temperature_divides_logits_and_zero_takes_the_largest() -> None:
    """Logits ln 1 and ln 9 at temperature 2: weights 1 and 3, so that 0.24 gives the first and 0.26 the second."""
    logits = torch.log(torch.tensor([[1.0, 9.0]])).repeat(2, 1)
    assert draw(logits, uniforms(0.24, 0.26), 2.0, 1.0).tolist() == [0, 1]
    assert draw(logits, uniforms(0.0, 0.0), 0.0, 1.0).tolist() == [1, 1]


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    """Probabilities 0.5, 0.3, 0.2 at top_p 0.6: the first two stay, so the third is never drawn."""
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]])).repeat(3, 1)
    assert draw(logits, uniforms(0.0, 0.62, 0.999), 1.0, 0.6).tolist() == [1, 1, 2]


@pytest.mark.parametrize("likely", [512, 256])
def test_top_p_of_flat_rows_looks_beyond_the_likely_tokens(likely: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights 1000, 999, ..., 1 at top_p 0.75 keep the heaviest until the sum reaches 375,375: of the k largest it is
    k (2001 - k) / 2, 375,250 for 500 and 375,750 for 501, whether 501 are among those looked at first or not."""
    monkeypatch.setattr(drawing, "LIKELY", likely)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    logits = torch.log(torch.arange(1.0, 1001.0)[order]).repeat(2, 1)
    assert (drawing._weights(logits, 1.0, 0.75) > 0).sum(-1).tolist() == [501, 501]


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_row_does_not_depend_on_those_beside_it(top_p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flat and steep rows mixed, in pieces of any size."""
    generator = torch.Generator().manual_seed(1)
    logits = (torch.randn(24, 1000, generator=generator) * torch.tensor([0.1, 4.0]).repeat(12)[:, None]).bfloat16()
    numbers = torch.rand(24, dtype=torch.float64, generator=generator)
    together = draw(logits, numbers, 1.0, top_p).tolist()
    monkeypatch.setattr(drawing, "PIECE", 5000)
    assert draw(logits, numbers, 1.0, top_p).tolist() == together
    assert [draw(logits[[i]], numbers[[i]], 1.0, top_p).item() for i in range(24)] == together
