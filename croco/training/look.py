"""A look at the policy while it trains: validation pairs, and answers to held-out prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from croco.config import Config
from croco.engines import factory
from croco.models.checkpoints import tokenizer_of
from croco.training import probe
from croco.training.data import Material, packs
from croco.training.forward import Forward
from croco.training.policy import Policy


class Watch:
    """What is looked at every `trainer.watch_every` steps: validation pairs, and answers to held-out prompts."""

    def __init__(self, config: Config, material: Material, forward: Forward) -> None:
        self.config, self.material, self.forward = config, material, forward
        self.reference: Tensor | None = None
        self.tokenizer = None
        if material.probes:
            self.tokenizer = tokenizer_of(factory.policy(config.model))

    def __call__(self, policy: Policy) -> dict[str, float]:
        found = self._validation(policy) if self.material.validation else {}
        if self.tokenizer is not None:
            drawn, hardware = self.config.sampling, self.config.trainer
            sampling = probe.Sampling(
                drawn.temperature, drawn.top_p, min(drawn.max_new_tokens, hardware.watch_tokens or drawn.max_new_tokens)
            )
            seen = probe.look(
                policy.model,
                self.tokenizer,
                self.forward,
                self.material.probes,
                sampling,
                policy.tokens_per_pack,
                policy.referee,
            )
            found |= {f"heldout_{name}": value for name, value in seen.items()}
        return found

    @torch.no_grad()
    def _validation(self, policy: Policy) -> dict[str, float]:
        """Loss, and against the reference margin and accuracy, of preferences that are not trained on."""
        examples = self.material.validation
        sizes = self.forward.sizes(examples)
        totals: dict[str, float] = {}
        policy.model.eval()
        for group in packs(range(len(examples)), sizes, policy.tokens_per_pack):
            some = [examples[i] for i in group]
            known = policy.known(some, policy.referred(some, self.reference, group))
            values = policy.loss(*(known[name] for name in policy.needs), **policy.loss_settings)
            for name, value in policy.measured(values, known).items():
                totals[name] = totals.get(name, 0.0) + float(value) / len(examples)
        policy.model.train()
        return {f"validation_{name}": totals[name] for name in ("loss", "margin", "accuracy") if name in totals}
