"""Low-rank adapters, of policies and of reward models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class LoraConfig:
    """Low-rank adapters (peft's names)."""

    r: int
    alpha: int
    dropout: float
    """Used by SFT only: see croco/training/policy.py, departure 1."""
    targets: Any
    """Names of the language model's linear layers that get an adapter, or `all-linear`: all of them but the output layer."""
    rslora: bool = False
    """Scaled by alpha / sqrt(r) rather than alpha / r (Kalajdzievski 2023)."""
    dora: bool = False
    """With the columns' lengths apart from their directions (Liu et al. 2024); not in vLLM."""
    seed: int | None = None
    """Of the adapter's first weights; null is that of the training (`seed`, `reward.training.seed`)."""
    modules_to_save: Any = None
    """PEFT's list of modules trained whole; only null is done here."""
