"""The reward of every answer, with gradients, and the LightningModule that trains a reward model on preferences.

A reward is read at the last token of the conversation. Packed rows are the policy's: what two conversations share is encoded
once for both. A reward takes the place of an answer's log-prob, as the one value that answer has.

Departures from TRL's RewardTrainer, whose losses and gradients these are:
1. A fresh head begins at zero instead of at random: all rewards are equal, and the loss is ln 2, before the first update.
2. Where the head alone is trained, the features are computed once and not in every epoch or look at held-out preferences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from croco.config import TrainerConfig
from croco.training import packed, reward_model
from croco.training.attention import Layout
from croco.training.data import Example, Examples, packs
from croco.training.forward import AnswerLogps, Forward
from croco.training.policy import Policy


def choose(model: Any, hardware: TrainerConfig) -> Forward:
    """As `packed.choose`, of rewards in place of log-probs."""
    found = packed.choose(model, hardware)
    if found.name == "padded":
        return Forward("padded rewards", _padded, shares_prompts=False)
    return Forward(f"{found.name}, rewards", _shared if found.shares_prompts else _repeated, found.shares_prompts)


def _padded(model: Any, examples: Sequence[Example]) -> AnswerLogps:
    """Through the class's own forward pass, one row per conversation."""
    rows = [e.prompt + answer for e in examples for answer in e.answers]
    longest, pad = max(map(len, rows)), model.config.get_text_config().pad_token_id
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
    return AnswerLogps(logits[:, 0].float(), [1] * len(rows))


def _shared(model: Any, examples: Sequence[Example]) -> AnswerLogps:
    rewards = model.get_base_model().score(_states(model, examples))[:, 0].float()
    return AnswerLogps(rewards, [1] * len(rewards))


def _repeated(model: Any, examples: Sequence[Example]) -> AnswerLogps:
    return _shared(model, [Example(e.prompt, (answer,)) for e in examples for answer in e.answers])


def _states(model: Any, examples: Sequence[Example]) -> Tensor:
    """(answers, H): the hidden state at the last token of every conversation, from one packed row."""
    # A row of log-probs has no place for an answer's last token, which is a target only: here a token behind it is.
    row = packed.lay_out([Example(e.prompt, tuple([*answer, 0] for answer in e.answers)) for e in examples])
    ids, positions = (torch.tensor([numbers], device=model.device) for numbers in (row.ids, row.positions))
    layout = Layout(row.segments, model.device)
    out = model.get_base_model().get_decoder()(input_ids=ids, position_ids=positions, use_cache=False, layout=layout)
    ends = torch.tensor([row.sources[end - 1] for end in accumulate(row.lengths)], device=model.device)
    return out.last_hidden_state[0][ends]


class RewardModel(Policy):
    """A sequence classifier with one label, by the same steps, packs and processes as a policy."""

    features: Tensor | None = None
    """(examples, answers, H) of the training examples, where the head alone is trained."""
    watched: dict[int, Tensor]
    """Then (answers, H) of held-out preferences by their place, as they are first looked at."""

    @property
    def tune(self) -> str:
        """What is trained: see RewardTrainingConfig."""
        assert self.config.reward.training is not None
        return self.config.reward.training.tune

    def on_fit_start(self) -> None:
        if self.tune == "head" and self.logps.name != "padded rewards" and self.trainer.world_size == 1:
            self.features, self.watched = self._features(self.examples), {}

    @torch.no_grad()
    def _features(self, examples: Sequence[Example]) -> Tensor:
        found: list[Any] = [None] * len(examples)
        mode = self.model.training
        self.model.eval()
        for group in packs(range(len(examples)), Examples.of(examples).sizes(True), self.tokens_per_pack):
            states = _states(self.model, [examples[i] for i in group]).float().cpu()
            for place, pair in zip(group, states.view(len(group), -1, states.shape[-1]), strict=True):
                found[place] = pair
        self.model.train(mode)
        return torch.stack(found)

    def _losses(self, group: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        examples = [self.examples[i] for i in group]
        rewards = None
        if self.features is not None:
            rewards = self._by_head(self.features[group])
        known = self.known(examples, rewards)
        values = self.loss(*(known[name] for name in self.needs), **self.loss_settings)
        return values, self.measured(values, known)

    def _by_head(self, states: Tensor) -> Tensor:
        """Rewards (answers, examples) float64 of features (examples, answers, H)."""
        rewards: Tensor = self.model.get_base_model().score(states.to(self.model.device))[..., 0]
        return rewards.double().T

    def referred(self, examples: Sequence[Example], cached: Tensor | None, places: Sequence[int]) -> Tensor | None:
        """A reward model has no reference; where the head alone is trained, the rewards of the held-out preferences there."""
        if self.features is None:
            return None
        new = [(place, example) for place, example in zip(places, examples, strict=True) if place not in self.watched]
        if new:
            states = self._features([example for _, example in new])
            self.watched |= {place: pair for (place, _), pair in zip(new, states, strict=True)}
        return self._by_head(torch.stack([self.watched[place] for place in places]))

    def known(self, examples: Sequence[Example], reference: Tensor | None = None) -> dict[str, Tensor]:
        """What losses may ask for, each (examples,) float64: see croco.maths.losses.

        Args:
            reference: the rewards, (2, examples), where they are known; None computes them.
        """
        rewards = self.logps(self.model, examples).sums(2) if reference is None else reference
        device = rewards.device
        return {
            "chosen": rewards[0],
            "rejected": rewards[1],
            "margin": torch.tensor([e.margin for e in examples], dtype=torch.float64, device=device),
            "tied": torch.tensor([float(e.tied) for e in examples], dtype=torch.float64, device=device),
        }

    def measured(self, values: Tensor, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums over a pack: loss, difference of the rewards, whether it is right (half for equal ones), and their level."""
        with torch.no_grad():
            chosen, rejected = known["chosen"].detach(), known["rejected"].detach()
            right = (chosen > rejected).double() + 0.5 * (chosen == rejected).double()
            return {
                "loss": values.detach().sum(),
                "margin": (chosen - rejected).sum(),
                "accuracy": right.sum(),
                "reward": ((chosen + rejected) / 2).sum(),
            }

    def sharded_modules(self) -> list[Any]:
        """All of it: a trained head would not mix with layers whose weights are spread."""
        base = self.model.get_base_model()
        return [*base.get_decoder().layers, base.get_decoder(), base.score]

    def parameter_groups(self) -> list[Any]:
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        training = self.config.reward.training
        rate = (training and training.head_learning_rate) or self.method.learning_rate
        heads = [p for name, p in trained if reward_model.is_head(name)]
        others = [p for name, p in trained if not reward_model.is_head(name)]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": heads, "lr": rate}]
        return [group for group in groups if group["params"]]

    def save(self, folder: Path) -> None:
        """A sequence-classification checkpoint under `model`; for LoRA also its adapter and head, as PEFT has them."""
        if self.tune == "lora":
            self.save_adapter(folder / "adapter")
        reward_model.save(self, folder)
