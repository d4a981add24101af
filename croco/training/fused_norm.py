"""Normalisation layers in fewer passes over memory, as one function with a backward of its own.

A model's own layer is written operation by operation: autograd keeps the input in float32 and two products of its size, and goes
over them a dozen times. Here the input and one number per token are kept. The scale belongs to the frozen base and gets no
gradient. Layers of other classes than those named here are left as they are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

RMS = ("LlamaRMSNorm", "Qwen3RMSNorm")
"""y = w * (x / rms(x)), rounded to the input's type before the scale."""
RMS_OF_ONE = ("Gemma3RMSNorm",)
"""y = (1 + w) * (x / rms(x)), rounded behind it."""
CENTRED = ("Cohere2LayerNorm",)
"""Layer norm without a bias."""


class _RMSNorm(torch.autograd.Function):
    """With n = x r, r = 1 / sqrt(mean(x^2) + eps), and g the gradient of n: dx = r g - x r^3 mean(g x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float) -> Tensor:
        wide = x.float()
        mean = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean.add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, inverse)
        return (wide * inverse).to(scale.dtype).mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, scale, inverse = ctx.saved_tensors
        grad, wide = (gradients[0].to(scale.dtype) * scale).float(), x.float()
        along = (grad * wide).mean(-1, keepdim=True).mul_(inverse**3).neg_()
        return grad.mul_(inverse).addcmul_(wide, along).to(x.dtype), None, None


def fuse(model: Any) -> int:
    """Give every normalisation layer of a known class the fused forward; returns how many there are."""
    fused = 0
    for module in model.modules():
        forward = _forward(module)
        if forward is not None:
            module.forward = forward
            fused += 1
    return fused


def _forward(module: Any) -> Any:
    kind = type(module).__name__
    if kind in RMS:
        return lambda x: _RMSNorm.apply(x, module.weight, module.variance_epsilon)
    if kind in RMS_OF_ONE:
        return lambda x: _RMSNorm.apply(x, 1.0 + module.weight.float(), module.eps)
    if kind in CENTRED:
        return lambda x: F.layer_norm(
            x.float(), module.weight.shape, module.weight.float(), None, module.variance_epsilon
        ).to(x.dtype)
    return None
