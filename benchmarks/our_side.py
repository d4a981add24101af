"""The LightningModule's own packs, losses and backward passes on given examples, driven step by step without Lightning's loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from croco.config import Config
from croco.maths import losses
from croco.training import rewards, trial
from croco.training.data import Example, packs
from croco.training.forward import Forward
from croco.training.model import build_model
from croco.training.packed import choose
from croco.training.policy import Policy
from croco.training.reward_model import build


def config_of(folder: Path, dtype: str, *more: str) -> Config:
    """The default configuration on the model in `folder`, with more overrides."""
    from hydra import compose, initialize_config_dir

    from croco.config import CONF, strict

    settings = [f"model.path={folder}", f"model.dtype={dtype}", *more]
    with initialize_config_dir(str(CONF), version_base=None):
        return strict(compose("config", overrides=settings))


class Ours:
    """One optimiser step at a time."""

    def __init__(
        self, config: Config, adapter: dict[str, Tensor], examples: list[Example], reference: Tensor | None
    ) -> None:
        """What the arguments are:

        adapter: the LoRA weights to start from, by parameter name.
        reference: summed log-probs (2, examples) as from the cache; None computes them in every step.
        """
        self.model = build_model(config, 0.0)
        self.model.load_state_dict(adapter, strict=False)
        self._begin(config, examples, choose(self.model, config.trainer), Policy, losses.dpo)
        self.policy.reference = reference

    def _begin(
        self, config: Config, examples: list[Example], forward: Forward, module: type[Policy], loss: Any
    ) -> None:
        """What stands around the model: packs as large as training would take them, the module with its loss, the optimiser."""
        sizes = forward.sizes(examples)
        settled = trial.settle(self.model, forward, config.trainer, max(sizes), sum(sizes), sum(sizes))
        self.how = (
            f"packs of {settled.tokens:,}" + ", recomputed" * settled.recomputes + ", compiled" * settled.compiled
        )
        self.peak, forward = settled.peak, settled.forward(forward)
        plan: Any = SimpleNamespace(steps=1)
        settings = {k: v for k, v in config.method.loss.items() if k != "_target_"}
        self.policy = module(
            self.model, loss, settings, examples, plan, config, forward=forward, tokens_per_pack=settled.tokens
        )
        self.config = config
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=config.method.learning_rate)

    def step(self, examples: Sequence[Example], places: Sequence[int]) -> float:
        """One optimiser step; returns the loss before it."""
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.model.device)
        for group in packs(places, self.policy.sizes, self.policy.tokens_per_pack):
            values, measured = self.policy._losses(group)
            (values.sum() / len(places)).backward()
            total = total + measured["loss"] / len(places)  # on the device, as in training: nothing waits between packs
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        return float(total)


class OurReward(Ours):
    """The same of a reward model."""

    def __init__(self, config: Config, examples: list[Example]) -> None:
        """With the configuration that `reward_model.configured` makes."""
        self.model = build(config)
        self._begin(
            config, examples, rewards.choose(self.model, config.trainer), rewards.RewardModel, losses.bradley_terry
        )
