"""LoRA layers in fewer passes over their outputs: y = x W^T + s (x A^T) B^T as one function with a backward of its own.

PEFT's layer casts x to the adapter's type, makes three outputs of the layer's size and keeps them for the backward pass. Here the
low-rank product is added in place, and only x and x A^T are kept. The base is frozen, so W gets no gradient. The mathematics is
PEFT's without dropout; where an adapter has dropout, a bias, DoRA or more than one adapter is active, PEFT's own layer runs.

Under a base in half precision A and B are needed in its type, in every layer, pass and pack: `Copies` makes them once, when the
weights have changed.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        low: Tensor,
        high: Tensor,
        scaling: float,
    ) -> Tensor:
        """`low` and `high` are A and B in the type of x."""
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ low.T
        out = _added(rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T), inner, high.T, scaling)
        ctx.save_for_backward(rows, weight, low, high, inner)
        ctx.scaling, ctx.shape, ctx.types = scaling, x.shape, (a.dtype, b.dtype)
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None, None, None]:
        rows, weight, low, high, inner = ctx.saved_tensors
        grad = gradients[0].reshape(-1, gradients[0].shape[-1])
        through = grad @ high  # (T, r)
        below = None
        if ctx.needs_input_grad[0]:
            below = _added(grad @ weight, through, low, ctx.scaling).view(ctx.shape)
        grad_a = (through.T @ rows).to(ctx.types[0]) * ctx.scaling
        grad_b = (grad.T @ inner).to(ctx.types[1]) * ctx.scaling
        return below, None, None, grad_a, grad_b, None, None, None


def _added(out: Tensor, left: Tensor, right: Tensor, scaling: float) -> Tensor:
    """out + scaling * left @ right, in place; a compiler adds both where they are next read, and would copy `out` first."""
    if torch.compiler.is_compiling():
        return out + (left @ right) * scaling
    return out.addmm_(left, right, alpha=scaling)


class FusedLinear(Linear):
    """PEFT's layer, which runs the function above unless its adapters are disabled or merged (the reference)."""

    copies: tuple[Tensor, Tensor] | None
    """A and B in the base's type."""

    def forward(self, x: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        if self.disable_adapters or self.merged:
            return super().forward(x, *arguments, **keywords)
        base, (a, b) = self.get_base_layer(), of(self)
        low, high = self.copies or (a.detach().to(x.dtype), b.detach().to(x.dtype))
        out: Tensor = _LoraLinear.apply(
            x, base.weight, base.bias, a, b, low, high, self.scaling[self.active_adapters[0]]
        )
        return out


def fuse(model: Any) -> int:
    """Give every LoRA linear layer that qualifies the fused forward; returns how many there are."""
    fused = [module for module in model.modules() if type(module) is Linear and _qualifies(module)]
    for module in fused:
        module.__class__ = (
            FusedLinear  # not a forward of its own for each, which torch.compile would compile one by one
        )
        module.copies = None  # type: ignore[assignment]
    if fused:
        model.get_base_model().get_decoder().register_forward_pre_hook(Copies(fused))  # the decoder, in every path
    return len(fused)


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


class Copies:
    """The layers' A and B in the base's type, made anew, all in one go, where a weight has changed since.

    Weights that are spread over processes have no whole to copy between passes: their layers cast what they need.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.seen: list[tuple[int, int]] = []

    def __call__(self, *_: Any) -> None:
        weights = [weight for layer in self.layers for weight in of(layer)]
        wanted = self.layers[0].get_base_layer().weight.dtype
        if weights[0].dtype == wanted or hasattr(weights[0], "full_tensor"):
            return
        now = [(weight._version, weight.data_ptr()) for weight in weights]
        if now == self.seen:
            return
        if not self.seen or self.layers[0].copies[0].device != weights[0].device:
            for layer in self.layers:
                low, high = (torch.empty_like(weight, dtype=wanted, requires_grad=False) for weight in of(layer))
                layer.copies = low, high
        with torch.no_grad():
            torch._foreach_copy_([copy for layer in self.layers for copy in layer.copies], weights)
        self.seen = now


def of(layer: Any) -> tuple[Tensor, Tensor]:
    """A and B of a layer."""
    (name,) = layer.active_adapters
    return layer.lora_A[name].weight, layer.lora_B[name].weight
