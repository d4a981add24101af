"""What each kind of reward asks for beyond a checkpoint (`reward.options`), typed: an unknown key fails like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from croco.config.rewards import RewardConfig, RewardRankingConfig, RewardTrainingConfig
from croco.config.targets import require
from croco.errors import UserError

CHECKPOINTS = ("sequence_classification", "implicit", "alignment", "judge")
KINDS = (*CHECKPOINTS, "trained", "ensemble", "function", "combination")
AGGREGATES = ("mean", "minimum", "pessimistic")
TINY = "tiny"
"""As `reward.preferences`: the embedded world's English preferences."""
ENGLISH = "en"
REWARD_ARGUMENTS = ("messages", "answer", "language", "meta")
"""What a reward function is called with."""


@dataclass
class NoOptions:
    """Kinds that a checkpoint or a function says all about."""


@dataclass
class ImplicitOptions:
    """How far a preference-tuned policy has moved away from its reference (`croco.rewards.implicit`)."""

    adapter: str | None
    """PEFT folder of the tuned policy, e.g. runs/training/<address>/adapter; null: the same run makes it first, from English."""
    trained_with: RewardConfig | None
    """The reward of that English run."""
    trained_loss: dict[str, Any]
    """Its `method.loss`."""
    prefix: str
    """Goes before the English prompt; `{language}` is the answer's language in English. English answers get none."""
    follow: bool
    """In later rounds the policy of the round before takes the adapter's place."""
    length_step: float | None
    """Step of the grid of alpha in reward - alpha * characters, per language; null leaves lengths alone."""


@dataclass
class AlignmentOptions:
    """How well a translation model gets from an answer to the English ones (`croco.rewards.alignment`)."""

    codes: dict[str, str]
    """The translation model's codes of our languages."""
    references: int | None
    """Only the first so many English answers to a prompt; null takes all."""


@dataclass
class JudgeOptions:
    """A language model that writes a number (`croco.rewards.judge`)."""

    template: str
    """Its message, with `{prompt}`, `{answer}` and `{language}`."""
    low: float
    high: float
    """A number outside [low, high] is no score."""
    max_new_tokens: int
    max_unreadable: float
    """Largest share of a language's answers that may be left without a score."""
    guided: bool = True
    """vLLM lets nothing be written but the number in its tag, or in JSON where the template asks for `{"score": 7}`; false is for
    a template that asks for reasons before it. Other engines let a model write what it will."""


@dataclass
class FunctionOptions:
    """A Python function (`croco.rewards.function`)."""

    seconds: float | None = None
    """Longest time of one call; null waits for ever."""


@dataclass
class CombinationOptions:
    """Several rewards as one (`croco.rewards.combined`)."""

    parts: dict[str, RewardConfig]
    weights: dict[str, float]
    """Of the parts that are added up."""
    vetoes: dict[str, float] = field(default_factory=dict)
    """Parts whose reward must be at least this, or the answer gets no score and enters no pool."""


@dataclass
class EnsembleOptions:
    """Several reward models as one (`croco.rewards.ensemble`)."""

    models: list[str]
    """Their checkpoints."""
    aggregate: str = "mean"
    """As `reward.aggregate`."""


@dataclass
class PreferencesConfig:
    """One source of preferences (`reward.preferences` lists them; a text alone is its path)."""

    path: str
    """A JSONL or Parquet file, a folder of them, or a hub data set; `tiny` is the embedded world's."""
    weight: float = 1.0
    """How often its rows are seen in an epoch; below 1 a share of them, by hash."""
    language: str = ENGLISH
    """Of rows that name none."""
    name: str | None = None
    """Configuration name of a hub data set; null: those of the languages that are trained on, the only one, or `default`."""
    hub_split: str = "train"
    revision: str | None = None
    limit: int | None = None
    """At most so many rows, by hash of their content."""


OF_KIND: dict[str, type] = {
    "ensemble": EnsembleOptions,
    "implicit": ImplicitOptions,
    "alignment": AlignmentOptions,
    "judge": JudgeOptions,
    "combination": CombinationOptions,
    "function": FunctionOptions,
}


def options_of(reward: RewardConfig, key: str = "reward") -> Any:
    """The typed options of a reward.

    Raises:
        UserError: an unknown, missing or mistyped option; the message names its key.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(OF_KIND.get(reward.kind, NoOptions)), reward.options)
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        name = getattr(error, "full_key", None) or ""
        raise UserError(f"{key}.options.{name}: {str(error).splitlines()[0]}") from None


def preferences_of(reward: RewardConfig, key: str = "reward") -> list[PreferencesConfig]:
    """The typed sources of a reward's preferences.

    Raises:
        UserError: none is named, or an unknown, missing or mistyped key; the message names it.
    """
    given = reward.preferences
    found = []
    for number, one in enumerate(given if isinstance(given, list) else [given] if given else []):
        try:
            merged = OmegaConf.merge(
                OmegaConf.structured(PreferencesConfig), {"path": one} if isinstance(one, str) else one
            )
            found.append(OmegaConf.to_object(merged))
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            name = getattr(error, "full_key", None) or "path"
            raise UserError(f"{key}.preferences[{number}].{name}: {str(error).splitlines()[0]}") from None
    require(len(found) > 0, f"{key}.preferences: name preference data: a file, a folder or a hub data set")
    return found  # type: ignore[return-value]


def trained_part(reward: RewardConfig) -> RewardConfig | None:
    """The part that this run trains before it scores; None where there is none."""
    return next((part for part in scoring_parts(reward) if part.kind == "trained"), None)


def to_train(reward: RewardConfig) -> tuple[RewardConfig, RewardTrainingConfig]:
    """The part that this run trains, and how; for stages that are wanted where there is one."""
    part = trained_part(reward)
    assert part is not None
    assert part.training is not None
    return part, part.training


def measures(reward: RewardConfig) -> RewardRankingConfig | None:
    """How a reward is measured before it is used, where it says so itself."""
    part = trained_part(reward)
    return reward.measured or (part.measured if part is not None else None)


def made(reward: RewardConfig, models: Sequence[str]) -> RewardConfig:
    """The reward with these checkpoints in the place of what was to be trained."""
    if reward.kind == "combination":
        parts = {name: made(part, models) for name, part in options_of(reward).parts.items()}
        return replace(reward, options={**reward.options, "parts": parts})
    if reward.kind != "trained":
        return reward
    found = replace(reward, revision=None, base=None, preferences=None, training=None, members=1)
    if len(models) == 1:
        return replace(found, kind="sequence_classification", path=models[0])
    return replace(found, kind="ensemble", options={"models": list(models), "aggregate": reward.aggregate})


def parts_of(reward: RewardConfig, key: str = "reward") -> Iterator[tuple[str, RewardConfig]]:
    """The reward with its key, and the parts of a combination with theirs."""
    yield key, reward
    if reward.kind == "combination":
        for name, part in options_of(reward, key).parts.items():
            yield from parts_of(part, f"{key}.options.parts.{name}")
    if reward.kind == "implicit" and options_of(reward, key).adapter is None:
        yield from parts_of(options_of(reward, key).trained_with, f"{key}.options.trained_with")


def scoring_parts(reward: RewardConfig) -> Iterator[RewardConfig]:
    """Those that see the answers of this run: all but what a missing adapter is trained with."""
    yield reward
    if reward.kind == "combination":
        for part in options_of(reward).parts.values():
            yield from scoring_parts(part)


def needs_english(reward: RewardConfig) -> bool:
    """Whether an answer's reward depends on the English prompt or the English answers."""
    return any(part.kind in ("implicit", "alignment") for part in scoring_parts(reward))


def with_adapter(reward: RewardConfig, adapter: str) -> RewardConfig:
    """The reward with this adapter in the place of those that are missing."""
    options = dict(reward.options)
    if reward.kind == "implicit":
        options["adapter"] = adapter
    elif reward.kind == "combination":
        options["parts"] = {name: with_adapter(part, adapter) for name, part in options_of(reward).parts.items()}
    return replace(reward, options=options)


def following(reward: RewardConfig, adapter: str) -> RewardConfig:
    """The reward of a later round: the policy so far in the place of an implicit reward's adapter, where it is to follow."""
    if reward.kind == "combination":
        parts = {name: following(part, adapter) for name, part in options_of(reward).parts.items()}
        return replace(reward, options={**reward.options, "parts": parts})
    if reward.kind == "implicit" and options_of(reward).follow:
        return with_adapter(reward, adapter)
    return reward
