"""What a stage is: a name, its slice of the configuration, the artifacts before it, and a function that fills its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from croco.artifacts import addresses
from croco.artifacts.sharing import Terms
from croco.artifacts.store import Artifact, Artifacts
from croco.config import Config, RewardConfig
from croco.config.scorers import made
from croco.engines.holder import EngineHolder
from croco.show.progress import Progress
from croco.tracking import Tracker


@dataclass(frozen=True)
class Job:
    """What a stage's function gets."""

    config: Config
    label: str
    """What progress lines call it."""
    inputs: Mapping[str, Artifact | Artifacts]
    """The sealed artifacts it needs, by stage name. What was made per language comes as that language's artifact to a
    stage that runs per language, and as all of them, read as one, to any other."""
    output: Artifact
    """Unsealed, and locked except in a shared `fill`; may hold the journal of an earlier, killed attempt."""
    progress: Progress
    tracker: Tracker
    engines: EngineHolder
    language: str | None = None
    """Of a stage that runs per language."""
    terms: Terms = field(default_factory=Terms)
    """How this process takes part in what a stage's `fill` makes."""

    @property
    def reward(self) -> RewardConfig:
        """What scores: with the models that the run has trained, where it was to train them."""
        trained = self.inputs.get("reward_model")
        if trained is None:
            return self.config.reward
        return made(self.config.reward, [str(trained.path / name) for name in trained.summary["models"]])  # type: ignore[union-attr]

    def single(self, name: str) -> Artifact:
        """An input that is one artifact for all languages."""
        artifact = self.inputs[name]
        assert isinstance(artifact, Artifact), f"{name} is made per language"
        return artifact


MANY = 3  # languages that are named one by one


def model_of(config: Config) -> str:
    """The policy, as a person calls it: the last part of its path."""
    return PurePath(config.model.path).name


def languages_of(config: Config) -> str:
    """The set of languages in a word."""
    given = config.lang.languages
    return "-".join(given) if len(given) <= MANY else f"{len(given)}-languages"


def arm_of(config: Config) -> tuple[str, ...]:
    """What an arm is told by: policy, languages, pairing, method."""
    return model_of(config), languages_of(config), config.pairing.scope, config.method.name


@dataclass(frozen=True)
class Stage:
    """One step of the chain."""

    name: str
    needs: tuple[str, ...]
    config: Callable[[Config], dict[str, Any]]
    """The slice of the configuration the artifact depends on, as JSON values."""
    run: Callable[[Job], dict[str, Any]]
    """Fills `job.output` with tables and returns the summary for its manifest."""
    version: int
    """Raised when the stage computes something else from the same inputs."""
    fill: Callable[[Job], None] | None = None
    """Brings rows to the journals, before `run`: what several processes may do together (croco/artifacts/sharing.py)."""
    of_language: Callable[[Config, str], dict[str, Any]] = field(default=lambda config, language: {})
    """What the artifact of one language depends on besides."""
    words: Callable[[Config], Sequence[str]] | None = None
    """Before the address in the folder's name, for a person. By default the policy's name where there is one artifact per
    language, which follows by itself, and the run's arm where there is one for all."""
    folder: str = field(default="")
    """Where its artifacts lie; stages that do the same work share one. Its name by default."""
    per_language: bool = False
    """One artifact per language: runs with different sets of languages share them."""
    languages: Callable[[Config], list[str]] = field(default=lambda config: config.lang.languages)
    """Those it is made for; a stage that needs it gets nothing of it for another language."""
    accept: Callable[[Config, dict[str, Any]], None] = field(default=lambda config, summary: None)
    """Raises UserError on the summary of an artifact, made or found, that the configuration does not let through."""
    narrows: Callable[[Config, dict[str, Any]], Config] = field(default=lambda config, summary: config)
    """The configuration of what comes behind: a summary may leave languages out."""
    wanted: Callable[[Config], bool] = field(default=lambda config: True)
    more: Callable[[Config, Mapping[str, Artifact | Artifacts]], Sequence[Stage]] = field(
        default=lambda config, artifacts: ()
    )
    """Stages that come next, told by what there is; what they have made under a later stage's name stands for it."""
    also: Callable[[Config], tuple[str, ...]] = field(default=lambda config: ())
    """Further inputs that some configurations need; `generations@en` is the artifact of that one language."""


def brought(config: Config, *kinds: str) -> bool:
    """Whether the run is brought data of one of these kinds (croco/config/data.py)."""
    return config.data.kind in kinds


def pairs_wanted(config: Config) -> bool:
    """Whether anything reads pairs: all training but that on the data set's own answers; the distance of the training data."""
    return config.method.trains_on != "reference" or config.evals.distance is not None


def seen_from(stage: Stage, view: Callable[[Job], Job]) -> Stage:
    """The same stage whose functions get another job than the chain's: other inputs, or another configuration."""
    run, fill = stage.run, stage.fill
    return replace(
        stage,
        run=lambda job: run(view(job)),
        fill=None if fill is None else lambda job: fill(view(job)),
    )


def words_of(stage: Stage, config: Config, language: str | None) -> str:
    """What the folder of a stage's artifact is called before its address."""
    told = stage.words or ((lambda given: (model_of(given),)) if stage.per_language else arm_of)
    return addresses.words_of(*told(config), language)
