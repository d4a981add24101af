"""One rule: what a run is made of belongs to the embedded world altogether, or not at all.

The embedded world's models read some hundred tokens of seven small languages and its judges know its own prompts; beside them a
real model is trained, without an error, on what they make of real text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from croco.config.groups import Config
from croco.config.rewards import RewardConfig
from croco.config.scorers import CHECKPOINTS, parts_of
from croco.errors import UserError

FUNCTIONS = "croco.tiny."
MARK = "embedded_world"
OWN_MODEL = "model=custom model.path=CHECKPOINT"


@dataclass(frozen=True)
class Part:
    """A checkpoint, prompts or a function that something is made from."""

    key: str
    name: str
    embedded: bool | None
    """None where it cannot be told: nothing is there, which is said where it is looked for."""
    instead: str
    """What to choose where the rest is real."""


def reads_reward(config: Config) -> bool:
    """Whether anything is scored by the run's reward."""
    return config.data.scored or config.evals.reward_ranking is not None


def rewards(config: Config) -> Iterator[tuple[str, RewardConfig]]:
    """Everything that scores answers in this run, with its key, and all its parts."""
    if reads_reward(config):
        yield from parts_of(config.reward)
    if config.evals.gold is not None:
        yield from parts_of(config.evals.gold.reward, "evals.gold.reward")


def embedded(path: str) -> bool | None:
    """Whether a checkpoint is of the embedded world: its config.json says so, also of what was trained from one of its models.
    None where a folder is meant and holds none, or one that says nothing."""
    try:
        return bool(json.loads((Path(path) / "config.json").read_text(encoding="utf-8")).get(MARK, False))
    except (OSError, ValueError, AttributeError):
        return None if Path(path).is_dir() or path.startswith((".", "/", "~")) else False


def parts(config: Config) -> Iterator[Part]:
    """What the run is made of; functions of one's own and servers belong anywhere."""
    yield _checkpoint("model.path", config.model.path, OWN_MODEL)
    prompts = config.prompts
    tiny = prompts.source == "tiny"
    if config.data.made:  # files of one's own belong anywhere
        yield Part(
            "prompts" if prompts.path is None else "prompts.path",
            prompts.path or prompts.source,
            tiny,
            "prompts=dolci or prompts=jsonl prompts.path=FILE",
        )
    for key, part in rewards(config):
        other = f"{key}.path=CHECKPOINT, or reward=custom reward.path=CHECKPOINT"
        if part.kind in CHECKPOINTS:
            yield _checkpoint(f"{key}.path", str(part.path), other)
        elif part.kind == "trained":
            yield _checkpoint(f"{key}.base", str(part.base), f"{key}.base=CHECKPOINT")
        elif part.kind == "function":
            yield from _function(f"{key}.function", part.function, "a function of your own")
    source, translation = config.source, config.translation
    if source.kind == "off_policy" or "off_policy" in (source.shares or {}):
        yield _checkpoint("source.model", str(source.model), "source.model=CHECKPOINT")
    if translation.targets(config.lang.languages):
        yield _checkpoint("translation.model", str(translation.model), "translation.model=CHECKPOINT")
    yield from _evaluations(config)


def _evaluations(config: Config) -> Iterator[Part]:
    evals, judge = config.evals, config.judge
    if evals.quality is not None:
        yield from _function(
            "evals.quality.grader", evals.quality.grader, "module:name of your own, or another evaluation"
        )
    if evals.arena is None:
        return
    for role in ("candidate", "opponent"):
        path = getattr(evals.arena, role).path
        if path is not None:
            yield _checkpoint(f"evals.arena.{role}.path", path, f"evals.arena.{role}.path=CHECKPOINT")
    if judge.kind == "function":
        yield from _function("judge.function", judge.function, "judge=paper, judge=endpoint, or a function of your own")
    elif judge.kind == "model":
        yield _checkpoint("judge.path", str(judge.path), "judge=paper or judge=model judge.path=CHECKPOINT")


def _checkpoint(key: str, path: str, instead: str) -> Part:
    return Part(key, path, embedded(path), instead)


def _function(key: str, name: str | None, instead: str) -> Iterator[Part]:
    if str(name).startswith(FUNCTIONS):
        yield Part(key, str(name), True, instead)


def check_worlds(config: Config) -> None:
    """Raises UserError where parts of the embedded world stand beside others; the message names one of them."""
    every = [part for part in parts(config) if part.embedded is not None]
    strange = [part for part in every if part.embedded != every[0].embedded]
    if not strange:
        return
    model, other = every[0], strange[0]
    if model.embedded:
        raise UserError(
            f"{other.key}: {other.name} is not of the embedded world, as model=tiny is; a model of your own is {OWN_MODEL}"
        )
    raise UserError(
        f"{other.key}: {other.name} is of the embedded world and {model.name} is not; choose {other.instead} "
        f"({OWN_MODEL} brings settings, reward and prompts that go with it)"
    )
