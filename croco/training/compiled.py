"""Decoder layers compiled by torch: their element-wise work in few kernels, fewer launches, less kept for the backward pass.

Attention stays outside (attention.py), so that a layer is two pieces, and lengths are symbols: one compilation serves packs of
all lengths, and all layers of a kind share it. What is compiled takes half a minute for each kind of call, so that only what
training does all the time is: the reference, validation and answers to prompts run the layers as they are, and so does the first
layer, whose input has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from croco.config import TrainerConfig
from croco.training.data import Example
from croco.training.forward import AnswerLogps, Forward

PAYS = 1e17  # floating-point operations of a run: some minutes on a GPU of today, where compiling takes half a minute
VARIANTS = 32  # of one function: windows, recomputation


def wanted(hardware: TrainerConfig, model: Any, tokens: int) -> bool:
    """As `trainer.compile` says; where it does not, on a GPU for a run of so many tokens that it pays."""
    if hardware.compile is not None:
        return hardware.compile
    return model.device.type == "cuda" and 4.0 * model.num_parameters() * tokens > PAYS


def begin(model: Any, backend: str = "inductor") -> None:
    """Compile decoder layers when they are first called with gradients."""
    torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
    for layer in model.get_base_model().get_decoder().layers[1:]:
        layer.compile(dynamic=True, backend=backend)


def path(forward: Forward) -> Forward:
    """The way through compiled layers, under a name that tells its rounding."""

    def logps(model: Any, examples: Sequence[Example]) -> AnswerLogps:
        if torch.is_grad_enabled():
            return forward.logps(model, examples)
        with as_they_are():
            return forward.logps(model, examples)

    return replace(forward, name=f"{forward.name}, compiled", logps=logps)


def as_they_are() -> Any:
    """Within it nothing is compiled and nothing compiled is called."""
    return torch.compiler.set_stance("force_eager")


def end(model: Any) -> None:
    """The layers as they were."""
    for layer in model.get_base_model().get_decoder().layers:
        layer._compiled_call_impl = None
    torch._dynamo.reset()
