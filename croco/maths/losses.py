"""Preference losses: each one pure function of summed log-probs and token counts.

The names of a loss's positional parameters say what it needs, and the trainer passes exactly those, each of shape (B,):

    chosen, rejected                      sum of log pi(answer | prompt) over the answer's tokens, in nats
    reference_chosen, reference_rejected  the same under the frozen reference
    chosen_tokens, rejected_tokens        number of answer tokens

Hyper-parameters are keyword-only. A loss returns one value per example, shape (B,); only a loss may divide by a length.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dpo(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, *, beta: float
) -> Tensor:
    """-log sigmoid(beta * delta), delta = (log pi/pi_ref)(chosen) - (log pi/pi_ref)(rejected) (Rafailov et al. 2023, eq. 7)."""
    delta = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -F.logsigmoid(beta * delta)


def sft(chosen: Tensor, chosen_tokens: Tensor) -> Tensor:
    """Mean negative log-likelihood per token of the answer."""
    return -chosen / chosen_tokens
