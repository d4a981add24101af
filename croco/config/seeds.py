"""What each part of training is seeded by: the run's `seed`, where its own is not given."""

from __future__ import annotations

from croco.config.groups import Config


def of_data(config: Config) -> int:
    """Of the order of the data, what is held out for validation, and dropout."""
    return config.seed if config.method.seed is None else config.method.seed


def of_adapter(config: Config) -> int:
    """Of the adapter's first weights."""
    return config.seed if config.model.lora.seed is None else config.model.lora.seed
