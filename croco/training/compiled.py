"""Decoder layers compiled by torch: their element-wise work in few kernels, fewer launches, less kept for the backward pass.

Attention stays outside (attention.py), so that a layer is two pieces, and lengths are symbols: one compilation serves packs of
all lengths. All layers of a kind share it.
"""

from __future__ import annotations

from typing import Any

import torch

from croco.config import TrainerConfig

PAYS = 1e17  # floating-point operations of a run: some minutes on a GPU of today, where compiling takes half a minute
VARIANTS = 64  # of one function: with and without gradients, windows, evaluation


def wanted(hardware: TrainerConfig, model: Any, tokens: int) -> bool:
    """As `trainer.compile` says; where it does not, on a GPU for a run of so many tokens that it pays."""
    if hardware.compile is not None:
        return hardware.compile
    return model.device.type == "cuda" and 4.0 * model.num_parameters() * tokens > PAYS


def begin(model: Any, backend: str = "inductor") -> None:
    """Compile each decoder layer when it is first called."""
    torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
    for layer in model.get_base_model().get_decoder().layers:
        layer.compile(dynamic=True, backend=backend)


def end(model: Any) -> None:
    """The layers as they were."""
    for layer in model.get_base_model().get_decoder().layers:
        layer._compiled_call_impl = None
    torch._dynamo.reset()
