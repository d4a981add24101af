"""What a configuration names, looked at before any work: a device, checkpoints, adapters, files. No model's library is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from croco.config import Config, reach
from croco.config.scorers import CHECKPOINTS, TINY, measures, preferences_of
from croco.config.worlds import reads_reward
from croco.config.worlds import rewards as rewards_of
from croco.errors import UserError
from croco.models.checkpoints import (
    check_base_folder,
    check_reward_folder,
)


def lacks_device(config: Config) -> bool:
    """Whether the run needs a GPU that this machine has not."""
    if config.trainer.accelerator != "gpu":
        return False
    import torch

    return not torch.cuda.is_available()


def preflight(config: Config, device: bool = True) -> None:
    """What a run needs that can be told before any work: a device (where that is asked), and models that are there.

    Raises:
        UserError: one line that says what is missing and what to choose instead.
    """
    if device and lacks_device(config):
        raise UserError(
            "trainer.accelerator=gpu: this machine has no CUDA device; run where there is one, or choose "
            "trainer=cpu engine=hf with a small model"
        )
    translation, source = config.translation, config.source
    rewards, ranking = list(rewards_of(config)), config.evals.reward_ranking or measures(config.reward)
    for key, path, revision in (
        ("model.path", config.model.path, config.model.revision),
        *((f"{key}.base", part.base, part.revision) for key, part in rewards if part.kind == "trained"),
        ("translation.model", _translator(config), translation.revision),
        ("source.model", source.model if _others_answer(config) else None, source.revision),
        ("reward_ranking.beside", ranking.beside if ranking is not None and reads_reward(config) else None, None),
        *_of_arena(config),
    ):
        if path is not None:
            _there(key, path, revision)
    for key, adapter in _adapters(config):
        if adapter is not None and not (Path(adapter) / "adapter_config.json").is_file():
            raise UserError(f"{key}: {adapter}: no adapter_config.json there")
    for key, part in rewards:
        if part.kind in CHECKPOINTS:
            folder = _there(f"{key}.path", str(part.path), part.revision)
            if part.kind == "sequence_classification" and config.engine.name != "fake":
                check_reward_folder(folder)
        if part.kind == "trained":
            check_base_folder(Path(str(part.base)))
            for number, given in enumerate(preferences_of(part, key)):
                hub_id = not given.path.startswith((".", "/", "~")) and given.path.count("/") == 1
                if given.path != TINY and not hub_id and not Path(given.path).exists():
                    raise UserError(f"{key}.preferences[{number}]: {given.path}: no such file, folder or hub data set")


def _others_answer(config: Config) -> bool:
    return config.source.kind == "off_policy" or "off_policy" in (config.source.shares or {})


def _adapters(config: Config) -> Iterator[tuple[str, str | None]]:
    """The PEFT folders that are named, with their keys."""
    yield "model.adapter", config.model.adapter
    yield "source.adapter", config.source.adapter if _others_answer(config) else None
    for key, part in rewards_of(config):
        if part.kind == "implicit":
            yield f"{key}.options.adapter", part.options.get("adapter")


def _translator(config: Config) -> str | None:
    return config.translation.model if config.translation.targets(config.lang.languages) else None


def _of_arena(config: Config) -> list[tuple[str, str | None, str | None]]:
    """The checkpoints an arena needs, after its adapters and the judge's key are seen to be there."""
    arena, judge = config.evals.arena, config.judge
    if arena is None:
        return []
    if judge.kind == "endpoint" and judge.api_key_env is not None and not os.environ.get(judge.api_key_env):
        raise UserError(
            f"judge.api_key_env: the environment has no {judge.api_key_env}; set it, or judge.api_key_env=null for a server "
            "that wants no key"
        )
    systems = {"candidate": arena.candidate, "opponent": arena.opponent}
    for role, system in systems.items():
        if (
            system.adapter not in (None, "trained")
            and not (Path(str(system.adapter)) / "adapter_config.json").is_file()
        ):
            raise UserError(f"evals.arena.{role}.adapter: {system.adapter}: no adapter_config.json there")
        for language in config.lang.languages if system.answers is not None else []:
            if not (Path(str(system.answers)) / f"{language}.json").is_file():
                raise UserError(f"evals.arena.{role}.answers: {system.answers}: no {language}.json there")
    paths = [(f"evals.arena.{role}.path", system.path, system.revision) for role, system in systems.items()]
    return [*paths, ("judge.path", judge.path if judge.kind == "model" else None, judge.revision)]


def _there(key: str, path: str, revision: str | None) -> Path:
    """A folder with a config.json, of this machine or what the hub has of it."""
    if Path(path).is_dir():
        if not (Path(path) / "config.json").is_file():
            raise UserError(f"{key}: {path}: no config.json there, so it is no checkpoint")
        return Path(path)
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise UserError(f"{key}: {path}: no such folder")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    reach.missing()
    try:
        return Path(hf_hub_download(path, "config.json", revision=revision)).parent
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = reach.why(error)
        raise UserError(f"{key}: {path}: no such folder here, and not to be had from the hub ({reason})") from None
