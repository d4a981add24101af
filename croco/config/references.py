"""Who reads the data set's own answers (`reference`): a translator is asked for those alone."""

from __future__ import annotations

from croco.config.groups import Config
from croco.config.scorers import measures

HELDOUT = "heldout"


def trained_on(config: Config) -> bool:
    """Whether SFT or a share of the mixture trains on them."""
    return config.method.trains_on == "reference" or "reference" in (config.source.shares or {})


def translated(config: Config) -> bool | str:
    """Whether they are translated: all, none, or those of `heldout` prompts, which is what a measured reward ranks."""
    if config.translation.references is not None:
        return config.translation.references
    if trained_on(config):
        return True
    return HELDOUT if (config.evals.reward_ranking or measures(config.reward)) is not None else False
