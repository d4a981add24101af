"""Losses and log-probs against values derived by hand."""

from __future__ import annotations

import inspect
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


# One pair: log-ratios to the reference +1 (chosen, 2 tokens) and -2 (rejected, 4 tokens), so delta = 3; means -4.5 and -5.5.
PAIR = {
    "chosen": -9.0,
    "rejected": -22.0,
    "reference_chosen": -10.0,
    "reference_rejected": -20.0,
    "chosen_tokens": 2.0,
    "rejected_tokens": 4.0,
}


def softplus(x: float) -> float:
    """-log sigmoid(-x)."""
    return math.log1p(math.exp(x))


def log_odds(logp: float) -> float:
    return logp - math.log(1 - math.exp(logp))


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("cdpo", {"beta": 0.1, "label_smoothing": 0.25}, 0.75 * softplus(-0.3) + 0.25 * softplus(0.3)),
        ("robust", {"beta": 0.1, "label_smoothing": 0.25}, (0.75 * softplus(-0.3) - 0.25 * softplus(0.3)) / 0.5),
        ("ipo", {"beta": 0.1}, (0.5 + 0.5 - 5.0) ** 2),
        ("hinge", {"beta": 0.1}, 0.7),
        ("hinge", {"beta": 1.0}, 0.0),
        ("simpo", {"beta": 2.0, "gamma": 0.5}, softplus(-(2.0 * (-4.5 + 5.5) - 0.5))),
        ("orpo", {"weight": 0.1}, 4.5 + 0.1 * softplus(-(log_odds(-4.5) - log_odds(-5.5)))),
        ("ln_dpo", {"beta": 5.0}, softplus(-5.0)),
        ("rpo", {"beta": 0.1, "alpha": 2.0}, softplus(-0.3) + 2.0 * 4.5),
    ],
)
def test_losses_by_hand(name: str, settings: dict[str, float], expected: float) -> None:
    """Per-token log-ratios are +1/2 and -2/4, their difference 1."""
    loss = getattr(losses, name)
    needs = [p.name for p in inspect.signature(loss).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert loss(*(torch.tensor([PAIR[n]]) for n in needs), **settings).item() == pytest.approx(expected, rel=1e-5)


def test_orpo_is_finite_where_the_model_is_certain() -> None:
    chosen = torch.zeros(1, requires_grad=True)
    value = losses.orpo(chosen, torch.tensor([-4.0]), torch.ones(1), torch.ones(1), weight=0.1)
    value.sum().backward()
    assert chosen.grad is not None
    assert math.isfinite(value.item())
    assert math.isfinite(chosen.grad.item())


def test_bradley_terry_by_hand() -> None:
    """-log sigmoid(2 - 0.5 - 1) = 0.4740770, plus 0.1 (2 + 0.5)^2; a tie at 2 and 0.5, whose margin says nothing:
    -(log sigmoid(1.5) + log sigmoid(-1.5)) / 2 = 0.9514133, plus the same."""
    rewards = torch.full((2,), 2.0), torch.full((2,), 0.5)
    extra = torch.ones(2), torch.tensor([0.0, 1.0])
    values = losses.bradley_terry(*rewards, *extra, centring=0.1, label_smoothing=0.0)
    assert values.tolist() == pytest.approx([0.4740770 + 0.625, 0.9514133 + 0.625], abs=1e-6)
    smoothed = losses.bradley_terry(*rewards, torch.zeros(2), torch.zeros(2), centring=0.0, label_smoothing=0.2)
    expected = 0.8 * math.log1p(math.exp(-1.5)) + 0.2 * math.log1p(math.exp(1.5))
    assert smoothed.tolist() == pytest.approx([expected] * 2, abs=1e-6)
