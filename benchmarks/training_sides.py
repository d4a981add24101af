"""The sides of the training benchmark: TRL's settings and ours, on one model, one adapter and one list of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.our_side import OurReward, Ours, config_of
from benchmarks.trl_side import TRL, TRLReward
from croco.config import Config
from croco.training.data import Example

TEMPLATE = "reward.training.chat_template=${chat_template:gemma}"  # never read: examples are ids
ALONE = "tokens_per_pack=1"  # a pair is never cut: one in each pack


class Side(Protocol):
    """One way to make a step; `places` are the examples' own in the list that the side was made with."""

    model: Any

    def step(self, examples: Sequence[Example], places: Sequence[int]) -> float: ...


def as_on_a_gpu() -> None:
    """Let TRL's fused head look at answer positions only."""
    import trl.trainer.utils as utils

    utils._use_triton = lambda device: True


def sides(
    folder: Path, dtype: str, tokens_per_pack: int, unmodified: bool, examples: list[Example], scratch: Path
) -> dict[str, Callable[[], Side]]:
    """Name -> how to make it: a model and an optimiser of its own."""
    if not unmodified:
        as_on_a_gpu()
    pack = f"trainer.tokens_per_pack={tokens_per_pack}"
    config = config_of(folder, dtype, pack)
    known = torch.full((2, len(examples)), -1000.0, dtype=torch.float64)  # any numbers cost the same

    def ours(*settings: str) -> Callable[[], Side]:
        changed = config_of(folder, dtype, pack, *(f"trainer.{setting}" for setting in settings))
        reference = known if changed.trainer.cache_reference else None
        return lambda: begun(Ours(changed, {}, examples, reference))

    def trl(**settings: Any) -> Callable[[], Side]:
        return lambda: begun(TRL(config, {}, scratch, **settings))

    return {
        "TRL, default": trl(),
        "TRL, hand-tuned": trl(checkpointing=False, reference=known),
        "TRL, micro-batch 8": trl(micro_batch=8),
        "croco": ours(),
        "croco, a pair at a time": ours(ALONE),
        "croco, a pair at a time, recomputed": ours(ALONE, "gradient_checkpointing=true"),
        "croco, reference in the step": ours("cache_reference=false"),
        "croco, prompts repeated": ours("share_prompts=false"),
        "croco, whole logits": ours("chunked_head=false"),
        "croco, PEFT's LoRA layers": ours("fused_lora=false"),
        "croco, the model's own norms": ours("fused_norms=false"),
        "croco, padded rows": ours("packing=false"),
    }


def reward_sides(
    folder: Path, dtype: str, tokens_per_pack: int, examples: list[Example], scratch: Path
) -> dict[str, Callable[[], Side]]:
    """The same for a reward model: LoRA and a head, Bradley-Terry with centring."""
    from croco.training.reward_model import configured

    own = ("reward=trained", f"reward.base={folder}", "reward.training.tune=lora", f"reward.dtype={dtype}", TEMPLATE)
    most = ("reward.max_length=8192", f"trainer.tokens_per_pack={tokens_per_pack}")

    def config(*settings: str) -> Config:
        return configured(config_of(folder, dtype, *own, *most, *(f"trainer.{s}" for s in settings)), 0)

    return {
        "TRL, default": lambda: begun(TRLReward(config(), scratch)),
        "TRL, hand-tuned": lambda: begun(TRLReward(config(), scratch, micro_batch=1, checkpointing=False)),
        "croco": lambda: begun(OurReward(config(), examples)),
        "croco, prompts repeated": lambda: begun(OurReward(config("share_prompts=false"), examples)),
    }


def begun(side: Side) -> Side:
    """With an adapter away from zero, the same for all sides."""
    away_from_zero(side.model)
    return side


@torch.no_grad()
def away_from_zero(model: Any) -> None:
    torch.manual_seed(5)
    for _, parameter in sorted(model.named_parameters()):
        if parameter.requires_grad:
            parameter.copy_(torch.randn(parameter.shape) * 0.02)
