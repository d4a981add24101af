"""LoRA layers in fewer passes over their outputs: y = x W^T + s (x A^T) B^T as one function with a backward of its own.

PEFT's layer casts x to the adapter's type, makes three outputs of the layer's size and keeps them for the backward pass. Here the
low-rank product is added in place, and only x and x A^T are kept. The base is frozen, so W gets no gradient. The mathematics is
PEFT's without dropout; where an adapter has dropout, a bias, DoRA or more than one adapter is active, PEFT's own layer runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low, high = a.to(x.dtype), b.to(x.dtype)
        inner = rows @ low.T
        out = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
        out.addmm_(inner, high.T, alpha=scaling)
        ctx.save_for_backward(rows, weight, a, b, inner)
        ctx.scaling, ctx.shape = scaling, x.shape
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        rows, weight, a, b, inner = ctx.saved_tensors
        grad = gradients[0].reshape(-1, gradients[0].shape[-1])
        through = grad @ b.to(grad.dtype)  # (T, r)
        below = None
        if ctx.needs_input_grad[0]:
            below = (grad @ weight).addmm_(through, a.to(grad.dtype), alpha=ctx.scaling).view(ctx.shape)
        grad_a = (through.T @ rows).to(a.dtype) * ctx.scaling
        grad_b = (grad.T @ inner).to(b.dtype) * ctx.scaling
        return below, None, None, grad_a, grad_b, None


def fuse(model: Any) -> int:
    """Give every LoRA linear layer that qualifies the fused forward; returns how many there are.

    A layer whose adapters are disabled or merged (the reference) runs PEFT's own forward.
    """
    from peft.tuners.lora.layer import Linear

    fused = 0
    for module in model.modules():
        if isinstance(module, Linear) and _qualifies(module):
            module.forward = _forward(module, module.forward)  # type: ignore[method-assign]
            fused += 1
    return fused


def _qualifies(module: Any) -> bool:
    (name, *others) = module.active_adapters
    return (
        not others
        and type(module.get_base_layer()) is torch.nn.Linear
        and isinstance(module.lora_dropout[name], torch.nn.Identity)
        and module.lora_A[name].bias is None
        and module.lora_B[name].bias is None
        and not module.lora_variant.get(name)
    )


def _forward(module: Any, plain: Any) -> Any:
    (name,) = module.active_adapters

    def forward(x: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        if module.disable_adapters or module.merged:
            return plain(x, *arguments, **keywords)
        base = module.get_base_layer()
        a, b = module.lora_A[name].weight, module.lora_B[name].weight
        return _LoraLinear.apply(x, base.weight, base.bias, a, b, module.scaling[name])

    return forward
