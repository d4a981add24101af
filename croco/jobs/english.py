"""The English run whose adapter an implicit reward reads, made first where the configuration names none."""

from __future__ import annotations

from dataclasses import replace

from croco.artifacts.store import Artifact, Store
from croco.config import Config, EvalsConfig, LangConfig, RewardConfig
from croco.config.scorers import ENGLISH, ImplicitOptions, options_of, scoring_parts, with_adapter
from croco.jobs.chain import Chain
from croco.show.progress import Progress
from croco.tracking import Trackers


def prepared(config: Config, store: Store, progress: Progress, trackers: Trackers) -> Config:
    """The configuration with the adapter of an English run in its implicit reward; as it is where nothing is missing."""
    for part in scoring_parts(config.reward):
        options = options_of(part)
        if isinstance(options, ImplicitOptions) and options.adapter is None:
            assert options.trained_with is not None, "croco.config.checks lets no other through"
            progress.say("reward: training on English first, whose adapter is the reward")
            training = _train(_english(config, options.trained_with, options), store, progress, trackers)
            progress.say(f"reward: adapter of {training.stage}/{training.address}")
            return replace(config, reward=with_adapter(config.reward, str(training.path / "adapter")))
    return config


def _english(config: Config, reward: RewardConfig, options: ImplicitOptions) -> Config:
    """The same run in English alone, with the reward that trains on preferences."""
    method = replace(config.method, loss=options.trained_loss, refresh_every=None)
    return replace(config, lang=LangConfig([ENGLISH]), reward=reward, method=method, evals=EvalsConfig())


def _train(config: Config, store: Store, progress: Progress, trackers: Trackers) -> Artifact:
    from croco.stages import stages

    last = max(number for number, stage in enumerate(stages()) if stage.name == "training")
    chain = Chain(config, store, progress, trackers.part("english"))
    training = chain.run(stages()[: last + 1])["training"]
    assert isinstance(training, Artifact)
    return training
