"""Addresses are complete: a key that changes what is made changes an address, and a key that does not changes none.

Every key of the typed configuration is changed, one at a time, in configurations that between them use every part, and the
addresses of the whole chain are planned before and after; nothing is made.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from croco import tracking
from croco.artifacts import provenance
from croco.artifacts.store import Artifacts, Store
from croco.config import CONF, Config, strict
from croco.jobs.chain import Chain
from croco.show.progress import Progress
from croco.stages import stages

HUB = ("model=eurollm", "lang=[en,da]", "source=off_policy", "source.model=org/other", "evals=arena_hard")
BASES: dict[str, Sequence[str]] = {
    "default": ("evals=all_local", "lang=[en,da]"),
    "judged": ("evals=arena", "lang=[en,da]", "judge=function", "judge.function=croco.tiny.arena_judge:judge"),
    "hub": (
        *HUB,
        "evals.arena.candidate.path=org/one",
        "evals.arena.candidate.adapter=null",
        "evals.arena.opponent.path=org/two",
        "judge.path=org/judge",
    ),
    "mixture": ("source=mixture", "lang=[en,da]", "evals=none"),
    "function": (
        "reward=function",
        "reward.function=croco.rewards.rules:in_its_language",
        "lang=[en,da]",
        "evals=none",
    ),
}
BASES["brought"] = ("data=pairs", "data.path=org/pairs", "lang=[en,da]", "evals=none")
ONLY = {"brought": "data."}
"""Bases in which the keys of one group alone are changed: the others have done the rest, and it takes time."""
WITH_ROLES = ("judged", "hub")
"""Bases in which the roles' own keys are changed: they have all roles between them."""
BASES["trained"] = ("reward=trained", "lang=[en,da]", "evals=none", "reward.training.tune=lora")
ROLES = ("", "roles.policy.", "roles.reward.", "roles.translator.", "roles.judge.")
NO_ADDRESS = (
    "model.size",
    "model.sizes",
    "engine.isolate",
    "engine.devices",
    *(f"engine.{role}{key}" for role in ROLES for key in ("tensor_parallel", "max_num_seqs", "gpu_memory_utilization")),
    "engine.prompts_per_unit",
    "engine.batch_size",
    "engine.score_tokens",
    "engine.environment",
    "engine.ray",
    "trainer",
    "workers",
    "logger",
    "push",
    "paths",
)
"""Where, how fast, who is told: none of these may change an address."""
ELSEWHERE = {
    "date": "addressed where a template asks for it: tests/stages/test_templates.py",
    "preset": "what other choices take from the model's file: what they took is addressed",
    "lang.sets": "the sets that `languages` was made of",
    "model.learning_rate": "read by the method's presets: method.learning_rate is what is addressed",
    "reward.least_accuracy": "what a run stops at, or which languages it goes on without",
    "reward.below": "likewise",
    "pairing.limits": "what a run stops at; the pairs are the same",
    "judge.max_unreadable": "what a run stops at; the verdicts are the same",
    "judge.url": "where an endpoint is",
    "judge.api_key_env": "a secret's name",
    "judge.retries": "patience",
    "judge.timeout": "patience",
    "judge.parallel": "speed",
    "method.refresh_every": "makes rounds, stages that are told by what there is",
    "method.reference": "of rounds",
    "method.round_data": "of rounds",
    "evals.primary": "which of the numbers a comparison shows first",
    "evals.tuned": "read where nothing is trained: method=none",
    "evals.quality.seconds": "patience",
    "evals.checkpoints": "makes stages that are told by the steps that training has",
}
"""Keys that change no address of the chain as it is planned, each with why that is right."""


def planned(config: Config, root: Path) -> dict[str, str]:
    """Stage (and language) -> address."""
    chain = Chain(config, Store(root), Progress(), tracking.silence())
    found: dict[str, str] = {}
    for name, artifact in chain.plan(stages()).items():
        if isinstance(artifact, Artifacts):
            found |= {f"{name}/{language}": one.address for language, one in artifact.by_language.items()}
        else:
            found[name] = artifact.address
    return found


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, its type) of every key below a typed configuration, also where a group is null there."""
    hints = typing.get_type_hints(type(value))
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, hints[field.name]


def other(value: Any, kind: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1 if math.isfinite(value) else 1.0
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value[:-1]] if len(value) > 1 else [*value, "x"]
    if isinstance(value, dict):
        return {**value, "x": 1}
    options = kind.__args__ if isinstance(kind, types.UnionType) else (kind,)
    first = next(option for option in options if option is not type(None))
    return {bool: True, int: 3, float: 0.5, str: "x"}.get(
        first, ["x"] if typing.get_origin(first) is list else {"x": 1}
    )


def put(config: Config, key: str, value: Any) -> Config:
    changed = copy.deepcopy(config)
    *path, last = key.split(".")
    owner: Any = changed
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, value)
    return changed


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Key -> base -> what it changed there; a value that cannot be planned with (a file that is not there) changed `refused`."""
    root = tmp_path_factory.mktemp("planned")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        provenance, "fingerprint", functools.cache(provenance.fingerprint)
    )  # of the same folders, 500 times
    found: dict[str, dict[str, set[str]]] = {}
    for base, words in BASES.items():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = strict(compose("config", overrides=list(words)))
        before = planned(config, root)
        for key, kind in leaves(config):
            if not key.startswith(ONLY.get(base, "")) or (key.startswith("engine.roles.") and base not in WITH_ROLES):
                continue
            owner: Any = config
            for part in key.split("."):
                owner = getattr(owner, part)
            try:
                after = planned(put(config, key, other(owner, kind)), root)
            except Exception:  # of many kinds: the value is nobody's; that it is looked at is what counts here
                found.setdefault(key, {})[base] = {"refused"}
                continue
            found.setdefault(key, {})[base] = {name for name in before | after if before.get(name) != after.get(name)}
    monkeypatch.undo()
    return found


def test_no_key_is_forgotten(changes: dict[str, dict[str, set[str]]]) -> None:
    forgotten = [
        key
        for key, by_base in changes.items()
        if not any(by_base.values())
        and not key.startswith((*NO_ADDRESS, *ELSEWHERE))
        and not any(
            below.startswith(f"{key}.") for below in changes
        )  # a group that is null here has its keys elsewhere
    ]
    assert forgotten == []


def test_an_exception_that_is_none_is_no_exception(changes: dict[str, dict[str, set[str]]]) -> None:
    """Every exception stands for a key that there is and that really changes nothing."""
    for prefix in (*NO_ADDRESS, *ELSEWHERE):
        below = {key: by_base for key, by_base in changes.items() if key.startswith(prefix)}
        assert below, prefix
        assert not any(any(by_base.values()) for by_base in below.values()), prefix


@pytest.mark.parametrize(
    ("group", "untouched"),
    [
        ("sampling", ("prompts", "checks_prompts", "euroeval_data")),
        ("reward", ("prompts", "generations", "answers_base", "checked_base")),
        ("pairing", ("prompts", "generations", "scores", "answers_base", "checked_base")),
        ("method", ("prompts", "generations", "scores", "pairs", "answers_base", "checked_base")),
        ("evals", ("prompts", "generations", "scores", "pairs", "training")),
        ("model.lora", ("prompts", "generations", "scores", "pairs", "answers_base", "checked_base")),
        ("engine.roles.policy", ("prompts", "translations", "preferences", "arena_prompts")),
        ("engine.roles.reward", ("prompts", "translations", "generations", "answers_base", "checked_base")),
        ("engine.roles.translator", ("source_prompts", "translation_requests", "arena_candidate")),
        (
            "engine.roles.judge",
            (
                "prompts",
                "translations",
                "generations",
                "scores",
                "pairs",
                "training",
                "arena_candidate",
                "answers_tuned",
            ),
        ),
        ("judge", ("prompts", "generations", "scores", "pairs", "training", "arena_candidate", "arena_opponent")),
    ],
)
def test_what_comes_before_stays(changes: dict[str, dict[str, set[str]]], group: str, untouched: Sequence[str]) -> None:
    """A key changes nothing that is made before it is read: artifacts are shared as far as they can be."""
    for key, by_base in changes.items():
        if key.startswith(f"{group}."):
            for base, names in by_base.items():
                assert not {name for name in names if name.split("/")[0] in untouched}, (key, base)
