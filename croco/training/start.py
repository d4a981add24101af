"""Where a training run begins: a fresh adapter, one that is there, or the end of the round before.

A round goes on with the adapter, the optimiser's moments and the step count of the round before, and every round reads the
learning rate off one schedule over all of them; so a run cut into rounds over the same batches is the run that was not cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from croco.errors import UserError
from croco.models import adapters
from croco.training import tensors

OPTIMISER = "optimiser.pt"


@dataclass(frozen=True)
class Start:
    """The begin of a run, or of one of its rounds."""

    adapter: Path | None = None
    """PEFT folder whose weights it begins with; None is a fresh adapter."""
    before: Path | None = None
    """Folder of the round before, whose optimiser and metrics go on."""
    step: int = 0
    """Optimiser steps that lie behind."""
    later: int = 0
    """Optimiser steps that are planned behind this run."""
    reference: Path | None = None
    """Adapter of the reference; None is the base."""


def begin(model: Any, start: Start) -> None:
    """Give the model the weights it begins with."""
    if start.adapter is not None:
        _set(model, start.adapter)


class Reference:
    """A model's base, or the base with another adapter, which is read from disk once."""

    def __init__(self, adapter: Path | None) -> None:
        self.adapter = adapter
        self._weights: list[Tensor] | None = None

    @contextmanager
    def of(self, model: Any) -> Iterator[None]:
        """Within it the model is the reference."""
        if self.adapter is None:
            with model.disable_adapter():
                yield
            return
        trained = [p for p in model.parameters() if p.requires_grad]
        own = [p.detach().clone() for p in trained]
        try:
            if self._weights is None:
                _set(model, self.adapter)
                self._weights = [p.detach().clone() for p in trained]
            else:
                _copy(self._weights, trained)
            yield
        finally:
            _copy(own, trained)


BASE = Reference(None)


@torch.no_grad()
def _copy(values: list[Tensor], parameters: list[Any]) -> None:
    for value, parameter in zip(values, parameters, strict=True):
        parameter.copy_(value)


def _set(model: Any, adapter: Path) -> None:
    """Load an adapter's weights.

    Raises:
        UserError: it has other modules, other ranks or another scaling than the one that is trained.
    """
    weights = load_file(adapter / "adapter_model.safetensors")
    expected = {name: value.shape for name, value in get_peft_model_state_dict(model).items()}
    same = expected == {name: value.shape for name, value in weights.items()}
    if not (same and adapters.alike(adapters.settings_of(adapter), model.peft_config["default"])):
        raise UserError(
            f"{adapter}: has other modules, ranks or scaling than the adapter that is trained; name it as model.adapter, or set "
            "model.lora to what it was made with"
        )
    set_peft_model_state_dict(model, weights)


def moments(start: Start, fresh: dict[str, Any]) -> dict[str, Any]:
    """The optimiser's state to begin with: the moments of the round before under this run's settings.

    Raises:
        UserError: the round before has left none.
    """
    if start.before is None:
        return fresh
    file = start.before / OPTIMISER
    if not file.is_file():
        raise UserError(f"{start.before}: its optimiser's state is gone; remove this folder and run again")
    try:
        return {**fresh, "state": torch.load(file, weights_only=True, map_location="cpu")}
    except Exception as error:  # of a file of any content: torch's, zip's, pickle's and the system's own, of many kinds
        raise UserError(
            f"{file}: is damaged ({type(error).__name__}); remove {start.before}, and the same command makes it again"
        ) from None


def save_moments(optimiser: torch.optim.Optimizer, folder: Path) -> None:
    """Leave the optimiser's moments to the round that follows."""
    tensors.save(optimiser.state_dict()["state"], folder / OPTIMISER)
