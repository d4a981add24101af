"""Normalisation layers in fewer passes over memory: torch's functions in place of the models', which go operation by operation.

A model's layer keeps its input in float32 and two products of its size, and goes over them a dozen times. The scale belongs to
the frozen base and gets no gradient. Layers of other classes than those named here are left as they are.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """y = w * (x / rms(x)); the models round to the input's type before the scale, torch behind it."""

    weight: Tensor
    variance_epsilon: float

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.variance_epsilon)


class OffsetRMSNorm(nn.Module):
    """y = (1 + w) * (x / rms(x)), rounded behind it; 1 + w would lose its last digits in half precision."""

    weight: Tensor
    eps: float

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, 1.0 + self.weight.float(), self.eps).to(x.dtype)


class CentredNorm(nn.Module):
    """Layer norm without a bias."""

    weight: Tensor
    variance_epsilon: float

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.weight.shape, self.weight.float(), None, self.variance_epsilon).to(x.dtype)


FUSED = {
    "LlamaRMSNorm": RMSNorm,
    "Qwen3RMSNorm": RMSNorm,
    "Gemma3RMSNorm": OffsetRMSNorm,
    "Cohere2LayerNorm": CentredNorm,
}
"""By the class of the model's own; these take its place in the module that is there, with its weights."""


def fuse(model: Any) -> int:
    """Give every normalisation layer of a known class the fused forward; returns how many there are."""
    known = [module for module in model.modules() if type(module).__name__ in FUSED]
    for module in known:
        module.__class__ = FUSED[type(module).__name__]
    return len(known)
