"""The packed path is the padded one: log-probs, counts and gradients, family by family."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from croco.maths import losses
from croco.maths.logps import chunked_logps
from croco.training import packed
from croco.training.data import Example
from croco.training.forward import padded
from croco.training.model import build_model
from tests.support.builders import build_policy, targets_of
from tests.training.test_training import config_of


def random_examples() -> list[Example]:
    """Longer and shorter than the sliding window of 16, an answer of one token, and answers of equal length."""
    torch.manual_seed(3)
    shapes = ((23, 20, 5), (3, 1, 30), (9, 7, 7))
    return [
        Example(torch.randint(3, 300, (p,)).tolist(), tuple(torch.randint(3, 300, (n,)).tolist() for n in (c, r)))
        for p, c, r in shapes
    ]


def step(model: Any, forward: Any, examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    logps = forward(model, examples)
    sums, tokens = logps.sums(2), logps.tokens(2)
    losses.dpo(sums[0], sums[1], sums[0].detach() - 1, sums[1].detach() + 2, beta=0.1).mean().backward()
    return sums.detach(), tokens, [p.grad.clone() for p in model.parameters() if p.requires_grad]


SWITCHES = (
    (),
    ("trainer.share_prompts=false",),
    ("trainer.chunked_head=false",),
    ("trainer.share_prompts=false", "trainer.chunked_head=false", "trainer.fused_lora=false"),
    ("trainer.fused_norms=false",),
)


ALL_SWITCHES = ("cohere2", "gemma3", "llama")  # the other families differ from these in what no switch touches
CASES = [
    (family, switches)
    for family in sorted({*packed.FAMILIES, "gemma3"})
    for switches in (SWITCHES if family in ALL_SWITCHES else SWITCHES[:1])
]


@pytest.mark.parametrize(("family", "switches"), CASES)
def test_equal_to_the_padded_path(family: str, switches: tuple[str, ...], tmp_path: Path) -> None:
    """Adapters are away from zero, so that both of their matrices get gradients."""
    config = config_of(build_policy(tmp_path, family), targets_of(family), *switches)
    model = build_model(config, 0.0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    examples = random_examples()
    sums, tokens, gradients = step(model, padded, examples)
    forward = packed.choose(model, config.trainer)
    assert forward.name.startswith("packed")
    assert forward.shares_prompts is config.trainer.share_prompts
    packed_sums, packed_tokens, packed_gradients = step(model, forward, examples)
    assert torch.equal(tokens, packed_tokens)
    assert torch.allclose(sums, packed_sums, atol=1e-3, rtol=1e-5)
    scale = max(float(g.abs().max()) for g in gradients)
    assert scale > 0
    for a, b in zip(gradients, packed_gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * scale, rtol=1e-4)


def test_an_unknown_family_falls_back_and_says_so(policy: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(policy)
    model = build_model(config, 0.0)
    model.get_base_model().config.model_type = "unheard_of"
    assert packed.choose(model, config.trainer) is padded
    assert "unheard_of" in caplog.text


def test_a_layout_by_hand() -> None:
    """Prompt of 2 tokens, answers of 2 and 1: the row holds 2 + 1 + 0 tokens, both answers start from the prompt's last."""
    row = packed.lay_out([Example([7, 8], ([5, 6], [4]))])
    assert (row.ids, row.positions) == ([7, 8, 5], [0, 1, 2])
    assert row.segments == [(0, 2, 0, 0), (2, 3, 0, 2)]
    assert (row.sources, row.targets, row.lengths) == ([1, 2, 1], [5, 6, 4], [2, 1])


def test_capped_logits_are_refused() -> None:
    config = SimpleNamespace(model_type="gemma3_text", final_logit_softcapping=30.0)
    base = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))
    assert packed.refusal(base) == "the model caps its logits"


def test_chunked_logps_by_hand() -> None:
    """Logits 0 and ln 3, so p = 1/4 and 3/4; d log p(second) / dh = ln 3 - 3/4 ln 3. In tiles of one token."""
    hidden, head = torch.ones(1, 1, requires_grad=True), torch.tensor([[0.0], [math.log(3)]])
    value = chunked_logps(hidden, head, torch.tensor([1]), tile=1)
    (gradient,) = torch.autograd.grad(value.sum(), hidden)
    assert value.item() == pytest.approx(math.log(3 / 4))
    assert gradient.item() == pytest.approx(math.log(3) / 4)


@pytest.mark.parametrize("order", [1, -1])
def test_chunked_logps_of_logits_in_the_thousands(order: int) -> None:
    """The highest logit comes in the first tile or in the last; in float64 the full log-softmax."""
    head = torch.linspace(-3000, 3000, 11)[:, None] * order
    hidden, targets = torch.tensor([[1.0], [-1.0], [1e-3]]), torch.tensor([0, 5, 10])
    expected = torch.log_softmax((hidden.double() @ head.double().T), -1).gather(-1, targets[:, None])[:, 0]
    values = chunked_logps(hidden, head, targets, tile=4)
    assert torch.allclose(values.double(), expected, rtol=1e-6)


def test_chunked_logps_in_bfloat16() -> None:
    """Against float64 on the same rounded weights; a logit near 4 is rounded by at most 2^-7, in the sum and in the target."""
    torch.manual_seed(0)
    hidden = torch.randn(7, 16).bfloat16().requires_grad_()
    head, targets = torch.randn(11, 16).bfloat16() / 2, torch.randint(11, (7,))
    exact = hidden.detach().double().requires_grad_()
    expected = torch.log_softmax(exact @ head.double().T, -1).gather(-1, targets[:, None])[:, 0]
    values = chunked_logps(hidden, head, targets, tile=4)
    assert values.dtype == torch.float32
    assert torch.allclose(values.double(), expected, atol=2**-5)
    (ours,), (gradient,) = torch.autograd.grad(values.sum(), hidden), torch.autograd.grad(expected.sum(), exact)
    assert torch.allclose(ours.double(), gradient, atol=2**-5)


@pytest.mark.parametrize(("chunk", "tile"), [(1, 1), (3, 4), (3, 11), (100, 5), (100, None)])
def test_chunked_logps_equal_the_full_log_softmax(chunk: int, tile: int | None) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, dtype=torch.double).float().requires_grad_()
    head, targets, weights = torch.randn(11, 5), torch.randint(11, (7,)), torch.randn(7)
    expected = torch.log_softmax(hidden @ head.T, -1).gather(-1, targets[:, None])[:, 0]
    (gradient,) = torch.autograd.grad((expected * weights).sum(), hidden)
    values = chunked_logps(hidden, head, targets, chunk, tile)
    (ours,) = torch.autograd.grad((values * weights).sum(), hidden)
    assert torch.allclose(values, expected, atol=1e-6)
    assert torch.allclose(ours, gradient, atol=1e-6)
