"""Losses and log-probs against values derived by hand."""

from __future__ import annotations

import math

import pytest
import torch

from croco.maths import losses
from croco.maths.logps import answer_logps


def test_dpo_by_hand() -> None:
    """Chosen gained 1 nat on the reference, rejected lost 2: delta = 3; at beta 0.1 the loss is ln(1 + e^-0.3) = 0.554355."""
    value = losses.dpo(
        torch.tensor([-9.0]), torch.tensor([-22.0]), torch.tensor([-10.0]), torch.tensor([-20.0]), beta=0.1
    )
    assert value.item() == pytest.approx(math.log1p(math.exp(-0.3)), abs=1e-6)


def test_dpo_is_ln_2_where_policy_and_reference_agree() -> None:
    same = torch.tensor([-3.0, -70.0])
    assert losses.dpo(same, same - 5, same, same - 5, beta=0.7).tolist() == pytest.approx([math.log(2)] * 2)


def test_sft_is_the_mean_over_tokens() -> None:
    assert losses.sft(torch.tensor([-6.0]), torch.tensor([4.0])).item() == 1.5


def test_answer_logps_by_hand() -> None:
    """Vocabulary of two, logits (0, ln 3): p(1) = 3/4 everywhere, so the answer 1, 0 has ln 3/4 and ln 1/4."""
    logits = torch.tensor([[[0.0, math.log(3)]] * 4])
    ids = torch.tensor([[0, 1, 1, 0]])
    answer = torch.tensor([[False, False, True, True]])
    expected = [0.0, 0.0, math.log(3 / 4), math.log(1 / 4)]
    assert answer_logps(logits, ids, answer)[0].tolist() == pytest.approx(expected)


def test_answer_logps_equals_the_full_log_softmax() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(3, 7, 11), torch.randint(11, (3, 7))
    answer = torch.rand(3, 7) > 0.5
    naive = torch.log_softmax(logits, -1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    expected = torch.where(answer[:, 1:], naive, torch.zeros(()))
    assert torch.allclose(answer_logps(logits, ids, answer)[:, 1:], expected, atol=1e-6)
