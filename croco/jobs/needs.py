"""What a run will load from the hub, and bringing it into the cache where there is a network, for machines that have none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.config import Config
from croco.config.rewards import RewardRankingConfig
from croco.config.scorers import CHECKPOINTS, TINY, preferences_of
from croco.config.worlds import rewards
from croco.errors import UserError

WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
WITH_CODE = (*WEIGHTS, "*.py")
ELSEWHERE = ("original/*", "onnx/*", "*/*.safetensors")
"""The same weights in other forms."""


@dataclass(frozen=True)
class Need:
    """A repository of the hub, as a loader asks for it."""

    key: str
    """Of the configuration, that names it."""
    repository: str
    revision: str | None
    kind: str = "model"
    names: tuple[str, ...] = ()
    """Of a data set, its configurations; none: those that a reader of rows in these languages chooses."""
    languages: tuple[str, ...] = ()
    split: str = ""
    with_code: bool = False


def of(config: Config) -> list[Need]:
    """All that a run will load, each repository once; folders and files of this machine are left out."""
    found: dict[tuple[Any, ...], Need] = {}
    for need in (*_models(config), *_data(config)):
        of_hub = need.repository.count("/") == 1 and not need.repository.startswith((".", "/", "~"))
        if of_hub and not Path(need.repository).exists():
            found.setdefault((need.repository, need.revision, need.kind, need.names), need)
    return list(found.values())


def _models(config: Config) -> Iterator[Need]:
    model, judge, arena = config.model, config.judge, config.evals.arena
    yield Need("model.path", model.path, model.revision, with_code=model.trust_remote_code)
    for key, part in rewards(config):
        own = part.path if part.kind in CHECKPOINTS else part.base if part.kind == "trained" else None
        name = "base" if part.kind == "trained" else "path"
        if own is not None:
            yield Need(f"{key}.{name}", str(own), part.revision, with_code=part.trust_remote_code)
    key, ranking = _ranking(config)
    if ranking is not None and ranking.beside is not None:
        yield Need(f"{key}.beside", ranking.beside, None)
    if config.translation.model is not None and config.translation.targets(config.lang.languages):
        yield Need("translation.model", config.translation.model, config.translation.revision)
    if config.source.model is not None and (
        config.source.kind == "off_policy" or "off_policy" in (config.source.shares or {})
    ):
        yield Need("source.model", config.source.model, config.source.revision)
    if arena is not None:
        for role, system in (("candidate", arena.candidate), ("opponent", arena.opponent)):
            if system.path is not None and system.answers is None:
                yield Need(f"evals.arena.{role}.path", system.path, system.revision)
        if judge.kind == "model":
            yield Need("judge.path", str(judge.path), judge.revision, with_code=judge.trust_remote_code)


def _ranking(config: Config) -> tuple[str, RewardRankingConfig | None]:
    """How the run's reward is measured, and the key that says so."""
    from croco.stages.reward_ranking import settings_of

    key = "evals.reward_ranking" if config.evals.reward_ranking is not None else "reward.measured"
    return key, settings_of(config)


def _data(config: Config) -> Iterator[Need]:
    from croco.evals.arena.questions import code_of

    prompts, arena, spoken = config.prompts, config.evals.arena, config.lang.languages
    measured, ranking = _ranking(config)
    translated = (config.translation.source,) if config.translation.targets(spoken) else ()

    def rows(key: str, given: Any, languages: Sequence[str], name: str | None = None) -> Need:
        names = () if name is None else (name,)
        return Need(key, str(given.path), given.revision, "dataset", names, tuple(languages), given.hub_split)

    if not config.data.made:
        yield rows("data.path", config.data, spoken, config.data.name)
    elif prompts.source == "hub":
        yield rows("prompts.path", prompts, (*spoken, *translated), prompts.name)
    if arena is not None and arena.source == "hub":
        codes = tuple(code for language in spoken if (code := code_of(language)) is not None)
        yield Need("evals.arena.path", str(arena.path), arena.revision, "dataset", codes, tuple(spoken), "test")
    if ranking is not None and ranking.path is not None:
        yield rows(f"{measured}.path", ranking, spoken)
    for key, part in rewards(config):
        if part.kind == "trained" and part.training is not None:
            for number, given in enumerate(preferences_of(part, key)):
                if given.path != TINY:
                    yield rows(f"{key}.preferences[{number}]", given, part.training.languages, given.name)


def fetch(config: Config, say: Callable[[str], None]) -> int:
    """Bring all of it into the cache, by commit; returns the bytes. How large it is, is said before.

    Raises:
        UserError: the hub cannot be reached, or does not have or not give something; names the key.
    """
    from croco.models.commits import commit_of

    wanted = []
    for need in of(config):
        commit = commit_of(need.repository, need.revision, need.kind)
        size = _size(need, commit)
        wanted.append((need, commit, size))
        say(f"{need.key}: {need.repository} at {(commit or '?')[:12]}, {size / 1e9:,.2f} GB")
    total = sum(size for _, _, size in wanted)
    say(f"{total / 1e9:,.2f} GB in {len(wanted)} repositories, into {_cache()}; what is there is not loaded again")
    for need, commit, _ in wanted:
        _brought(need, commit)
        say(f"{need.key}: {need.repository} is there")
    if config.evals.euroeval is not None:
        say(
            "EuroEval's data sets come with EuroEval itself: run its command once here on any small model, or set its cache"
        )
    say("language identification is inside its package; nothing to fetch")
    say("there: the run, and `croco doctor --offline`, work with HF_HUB_OFFLINE=1")
    return total


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _patterns(need: Need) -> tuple[list[str] | None, list[str] | None]:
    """What of a repository is loaded, and what is not."""
    if need.kind == "dataset":
        return None, None
    return list(WITH_CODE if need.with_code else WEIGHTS), list(ELSEWHERE)


def _size(need: Need, commit: str | None) -> int:
    """Bytes of the files that will be loaded; of a data set all of them, which its configurations share."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    try:
        told: Any = HfApi().repo_info(need.repository, revision=commit, repo_type=need.kind, files_metadata=True)
    except Exception as error:  # the hub's and its HTTP library's own, of many kinds
        raise _refused(need, error) from None
    allowed, ignored = _patterns(need)
    files = {file.rfilename: file.size or 0 for file in told.siblings or ()}
    kept = filter_repo_objects(list(files), allow_patterns=allowed, ignore_patterns=ignored)
    return sum(files[name] for name in kept)


def _brought(need: Need, commit: str | None) -> None:
    """As the loader will ask for it; the cache keeps which commit a branch was, too, for those who ask without a network."""
    from huggingface_hub import snapshot_download

    allowed, ignored = _patterns(need)
    try:
        if need.kind == "model":
            snapshot_download(need.repository, revision=need.revision, allow_patterns=allowed, ignore_patterns=ignored)
            return
        import datasets

        from croco.prompts import of_hub

        snapshot_download(need.repository, revision=need.revision, repo_type=need.kind, allow_patterns=["README.md"])
        asked = of_hub.Asked(need.repository, None, need.split, commit)
        for name in need.names or of_hub.configurations(asked, need.languages, need.key):
            datasets.load_dataset(need.repository, name, split=need.split, revision=commit)
    except UserError:
        raise
    except Exception as error:  # the hub's, of its data library and of the network: there is no common class
        raise _refused(need, error) from None


def _refused(need: Need, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        reason += "; HF_HUB_OFFLINE is set, and fetching needs a network"
    return UserError(f"{need.key}: {need.repository}: cannot be fetched ({reason})")
