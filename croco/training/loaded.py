"""The policy in training as it is loaded: its base is read once for all rounds of a run.

A round takes the adapter that the one before has left on disk, so that a run that was killed between them goes on with the same
numbers; what stays is the frozen base under it, as it was set up for this device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from croco.config import Config, TrainerConfig
from croco.engines import factory
from croco.engines.holder import EngineHolder
from croco.models import devices, host
from croco.training import model, packed, trial
from croco.training.forward import Forward
from croco.training.start import Start, begin


@dataclass
class Loaded:
    """A model with an adapter, and how it is run."""

    model: Any
    forward: Forward
    settled: trial.Settled | None = None
    """What the device was found to have room for; None before it was asked."""
    tried: tuple[int, int] = (0, 0)
    """Tokens of the largest example, and of a step, with which it was."""

    def settle(
        self, hardware: TrainerConfig, largest: int, batch: int, total: int, say: Callable[[str], None]
    ) -> trial.Settled:
        """See `trial.settle`, which is not asked again before a round has larger examples."""
        if self.settled is None or largest > self.tried[0] or batch > self.tried[1]:
            if self.settled is not None and self.settled.recomputes:
                trial.keep_activations(self.model)
            self.settled = trial.settle(self.model, self.forward, hardware, largest, batch, total, say)
            self.tried = largest, batch
        return self.settled

    def sleep(self) -> bool:
        """Leave the device to others and wait in the host's memory; whether that has room (a CPU's is the device itself)."""
        size = sum(p.numel() * p.element_size() for p in self.model.parameters())
        if self.model.device.type == "cpu" or size > host.room():
            return False
        self._device = self.model.device
        self.model.to("cpu")
        devices.release()
        return True

    def wake(self) -> bool:
        """Back on the device."""
        self.model.to(self._device)
        return True

    def close(self) -> None:
        """See `EngineHolder`."""
        del self.model, self.forward


def policy(config: Config, start: Start, engines: EngineHolder | None) -> Loaded:
    """The policy with the weights it begins with: what is loaded already where a round before has left it with `engines`.

    Raises:
        UserError: as `build_model` and `begin` do.
    """
    supervised = config.method.trains_on in ("chosen", "reference")
    dropout = config.model.lora.dropout if supervised else 0.0

    def build() -> Loaded:
        built = model.build_model(config, dropout)
        return Loaded(built, packed.choose(built, config.trainer))

    if engines is None or (start.before is None and not start.later):
        one = build()
    else:
        key = ("training", replace(factory.policy(config.model), adapter=None), repr(config.model.lora), dropout)
        if start.before is None:  # a fresh adapter's weights are drawn as the model is built
            engines.forget(key)
        one = engines.get(key, build)
    begin(one.model, start)
    return one
