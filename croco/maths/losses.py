"""Preference losses: each one pure function of summed log-probs and token counts.

The names of a loss's positional parameters say what it needs, and the trainer passes exactly those, each of shape (B,):

    chosen, rejected                      sum of log pi(answer | prompt) over the answer's tokens, in nats
    reference_chosen, reference_rejected  the same under the frozen reference
    chosen_tokens, rejected_tokens        number of answer tokens

Of a reward model, `chosen` and `rejected` are the rewards, and a preference may say more:

    margin                                by how much the chosen answer should be above, in rewards; 0 where none is said
    tied                                  1 where neither answer was preferred, else 0

Hyper-parameters are keyword-only. A loss returns one value per example, shape (B,); only a loss may divide by a length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dpo(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, *, beta: float
) -> Tensor:
    """-log sigmoid(beta * delta), delta = (log pi/pi_ref)(chosen) - (log pi/pi_ref)(rejected) (Rafailov et al. 2023, eq. 7)."""
    delta = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -F.logsigmoid(beta * delta)


def cdpo(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float,
    label_smoothing: float,
) -> Tensor:
    """-(1 - e) log sigmoid(beta delta) - e log sigmoid(-beta delta): a share e of the labels is wrong (Mitchell 2023, cDPO)."""
    x = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return -(1 - label_smoothing) * F.logsigmoid(x) - label_smoothing * F.logsigmoid(-x)


def robust(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float,
    label_smoothing: float,
) -> Tensor:
    """(-(1 - e) log sigmoid(beta delta) + e log sigmoid(-beta delta)) / (1 - 2 e), unbiased when a share e < 1/2 of the labels
    is flipped (Chowdhury et al. 2024)."""
    x = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return (-(1 - label_smoothing) * F.logsigmoid(x) + label_smoothing * F.logsigmoid(-x)) / (1 - 2 * label_smoothing)


def ipo(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor,
    rejected_tokens: Tensor,
    *,
    beta: float,
) -> Tensor:
    """(delta - 1 / (2 beta))^2 (Azar et al. 2023, eq. 17, tau = beta), delta of per-token means, as its authors later advised."""
    delta = (chosen - reference_chosen) / chosen_tokens - (rejected - reference_rejected) / rejected_tokens
    return (delta - 1 / (2 * beta)) ** 2


def hinge(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, *, beta: float
) -> Tensor:
    """max(0, 1 - beta delta) (SLiC's hinge, Zhao et al. 2023, on the reward of DPO as in Liu et al. 2024, RSO)."""
    delta = (chosen - reference_chosen) - (rejected - reference_rejected)
    return F.relu(1 - beta * delta)


def simpo(
    chosen: Tensor, rejected: Tensor, chosen_tokens: Tensor, rejected_tokens: Tensor, *, beta: float, gamma: float
) -> Tensor:
    """-log sigmoid(beta (mean log pi(chosen) - mean log pi(rejected)) - gamma), no reference (Meng et al. 2024, eq. 6)."""
    return -F.logsigmoid(beta * (chosen / chosen_tokens - rejected / rejected_tokens) - gamma)


def orpo(chosen: Tensor, rejected: Tensor, chosen_tokens: Tensor, rejected_tokens: Tensor, *, weight: float) -> Tensor:
    """NLL(chosen) - weight * log sigmoid(log odds(chosen) - log odds(rejected)), odds p = p / (1 - p), log p the mean per token
    (Hong et al. 2024, eqs. 4 to 7; `weight` is their lambda)."""
    better, worse = chosen / chosen_tokens, rejected / rejected_tokens
    return -better - weight * F.logsigmoid(_log_odds(better) - _log_odds(worse))


def _log_odds(logp: Tensor) -> Tensor:
    # An answer the model is certain of has infinite odds; the bound keeps loss and gradient finite.
    bounded = logp.clamp(max=-1e-6)
    return bounded - torch.log(-torch.expm1(bounded))


def ln_dpo(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor,
    rejected_tokens: Tensor,
    *,
    beta: float,
) -> Tensor:
    """DPO on per-token means: -log sigmoid(beta (dc / |c| - dr / |r|)) (Lambert et al. 2024, Tulu 3)."""
    delta = (chosen - reference_chosen) / chosen_tokens - (rejected - reference_rejected) / rejected_tokens
    return -F.logsigmoid(beta * delta)


def rpo(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor,
    *,
    beta: float,
    alpha: float,
) -> Tensor:
    """DPO + alpha * mean negative log-likelihood per token of the chosen answer (Pang et al. 2024, eq. 1)."""
    return dpo(chosen, rejected, reference_chosen, reference_rejected, beta=beta) - alpha * chosen / chosen_tokens


def sft(chosen: Tensor, chosen_tokens: Tensor) -> Tensor:
    """Mean negative log-likelihood per token of the answer."""
    return -chosen / chosen_tokens


def bradley_terry(
    chosen: Tensor, rejected: Tensor, margin: Tensor, tied: Tensor, *, centring: float, label_smoothing: float
) -> Tensor:
    """-(1 - e) log sigmoid(d) - e log sigmoid(-d) + centring (r_chosen + r_rejected)^2, d = r_chosen - r_rejected - margin.

    Bradley and Terry 1952 on rewards (Ouyang et al. 2022, eq. 1); margin: Touvron et al. 2023 (Llama 2), eq. 2; centring, which
    settles the level that differences leave open: Eisenstein et al. 2023, section 2.2; e: a share of the labels is wrong (as in
    `cdpo`). A tie counts as half a preference either way: e = 1/2, without a margin.
    """
    delta = chosen - rejected - margin * (1 - tied)
    wrong = torch.where(tied > 0, 0.5, label_smoothing)
    loss = -(1 - wrong) * F.logsigmoid(delta) - wrong * F.logsigmoid(-delta)
    return loss + centring * (chosen + rejected) ** 2
