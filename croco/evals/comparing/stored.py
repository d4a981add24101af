"""What finished runs keep of their evaluations: instance-level results, found from a run's report artifact alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croco.artifacts import records, store
from croco.errors import UserError
from croco.evals.comparing import paired
from croco.evals.comparing.arms import ITERATED

RESULTS = "results.parquet"
NAME_LENGTH = 8  # of an address, as a run's name
SEEDS = {
    "seed": "training",
    "method.seed": "order of the data",
    "model.lora.seed": "adapter",
    "reward.training.seed": "reward model",
    "sampling.seed": "answers",
    "pairing.seed": "draws of pairing",
}
"""Settings that make the same experiment again, and what they seed."""
OF_TRAINING = ("method.seed", "model.lora.seed")
"""Of them, those that are `seed` where they are not given."""
NAMED_BY: dict[str, Callable[[Any], str]] = {
    "model.path": lambda value: Path(str(value)).name,
    "lang.languages": lambda value: "-".join(value or ["none"]),
    "pairing.scope": str,
    "source.kind": str,
    "reward.name": str,
    "method.name": str,
}
"""Settings whose value alone is a run's name."""
MOST_NAMED = 4  # settings in a name
OF_SUMMARIES = (".resamples", ".confidence")
NOT_RESULTS = (
    "paths",
    "logger",
    "push",
    "workers",
    "engine",
    "trainer",
)  # settings that do not say what an experiment is


@dataclass(frozen=True)
class Run:
    """A finished run with what it evaluated."""

    name: str
    """Given, or empty until `arms` names it."""
    report: store.Artifact
    lineage: Mapping[str, str]
    """Stage (and language) -> folder below the store's root."""

    def folders(self, stage: str) -> list[Path]:
        """Of a stage: one, or one per language."""
        return [
            self.report.root / folder
            for name, folder in self.lineage.items()
            if name == stage or name.startswith(f"{stage}/")
        ]

    @property
    def evaluations(self) -> list[str]:
        """Stages that kept instance-level results, in the order of the chain."""
        names = dict.fromkeys(name.split("/")[0] for name in self.lineage)
        return [name for name in names if any((folder / RESULTS).is_file() for folder in self.folders(name))]

    def settings(self, evaluation: str) -> dict[str, Any]:
        """The slice of the configuration an evaluation was made with, flat, without what only its own summary depends on."""
        settings = _flat(store.Store.open(self.folders(evaluation)[0]).config)
        return {key: value for key, value in settings.items() if not key.endswith(OF_SUMMARIES)}

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration, flat: `method.loss.beta` -> 0.1. The seeds of training are what they came to, since a run
        that found the report of another may have said them otherwise."""
        run = self.report.manifest.get("run", {})
        flat = _flat({group: value for group, value in run.items() if group not in NOT_RESULTS})
        given = [flat.get(key) for key in OF_TRAINING]
        seeds = [flat.get("seed") if one is None else one for one in given]
        flat |= dict(zip(OF_TRAINING, seeds, strict=True))
        return flat | {"seed": seeds[0]} if seeds[0] == seeds[1] else flat


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def open_run(given: str, artifacts: Path) -> Run:
    """A run from its report's folder or the first characters of its report's address, as `NAME=...` with a name of one's own.

    Raises:
        UserError: there is no such report, or not one alone.
    """
    name, equals, place = given.rpartition("=")
    if Path(given).is_dir():
        name, equals, place = "", "", given
    report = store.Store.open(Path(place)) if Path(place).is_dir() else store.Store(artifacts).find("report", place)
    lineage = report.path / "lineage.json"
    if not lineage.is_file():
        raise UserError(
            f"{report.path}: no lineage.json, so it is no run's report; name a folder of <artifacts>/report"
        )
    return Run(name if equals else "", report, json.loads(lineage.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but their seeds."""

    name: str
    runs: Sequence[Run]

    @property
    def seeds(self) -> str:
        """`3 (seed 1, 2, 3)`."""
        configurations = [run.configuration for run in self.runs]
        told = [f"{key} {', '.join(str(one.get(key)) for one in configurations)}" for key in varied(configurations)]
        return f"{len(self.runs)} ({'; '.join(told)})" if told else str(len(self.runs))


def arms(runs: Sequence[Run]) -> list[Arm]:
    """The runs in their order, those that only seeds tell apart together, each with a name of its own.

    Raises:
        UserError: the same run, or two that differ in more than seeds, under one name.
    """
    addresses = [run.report.address for run in runs]
    if len(set(addresses)) < len(addresses):
        raise UserError(f"the same run is named twice: {', '.join(run.name or run.report.address for run in runs)}")
    names = [run.name or name for run, name in zip(runs, _names(runs), strict=True)]
    found: dict[str, list[Run]] = {}
    for run, name in zip(runs, names, strict=True):
        found.setdefault(name, []).append(run)
    for name, of_name in found.items():
        if differing([_without_seeds(run) for run in of_name]):
            raise UserError(
                f"{name}: runs that differ in more than seeds have one name; say NAME=RUN to tell them apart"
            )
    return [Arm(name, [_named(run, name, of_name) for run in of_name]) for name, of_name in found.items()]


def _named(run: Run, name: str, of_name: Sequence[Run]) -> Run:
    """Within an arm of several, with its seeds."""
    keys = varied([one.configuration for one in of_name])
    seeds = [f"{key}={run.configuration.get(key)}" for key in keys]
    return replace(run, name=" ".join([name, *seeds]) if len(of_name) > 1 else name)


def varied(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The seeds that differ: `seed` alone where those of training are one, and no reward model's that goes with it."""
    keys = [key for key in differing(configurations) if key in SEEDS]
    one_seed = all(len({one.get(key) for key in ("seed", *OF_TRAINING)}) == 1 for one in configurations)
    told = [key for key in keys if key not in (OF_TRAINING if one_seed else ("seed",))]
    follows = all(one.get("reward.training.seed") == one.get("seed") for one in configurations)
    return [key for key in told if key != "reward.training.seed" or not follows]


def _without_seeds(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.configuration.items() if key not in SEEDS}


def _names(runs: Sequence[Run]) -> list[str]:
    """By the settings in which they differ: those that say what a run is by their values alone, else `key=value`."""
    settings = [_without_seeds(run) for run in runs]
    telling = [key for key in NAMED_BY if key in differing(settings)]
    words = [[NAMED_BY[key](one.get(key)) for key in telling] for one in settings]
    for group in _alike(words):
        rest = differing([settings[place] for place in group])
        for place in group:
            words[place] += [f"{key}={settings[place].get(key)}" for key in rest[:MOST_NAMED]]
    names = [" ".join(of_run) for of_run in words]
    alone = "tuned" if varied([run.configuration for run in runs]) else None  # one arm of several seeds
    return [name or alone or run.report.address[:NAME_LENGTH] for name, run in zip(names, runs, strict=True)]


def _alike(words: Sequence[Sequence[str]]) -> list[list[int]]:
    """Places of runs whose words are the same."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, of_run in enumerate(words):
        groups.setdefault(tuple(of_run), []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def results(run: Run, evaluation: str) -> pa.Table:
    """Rows of records.Result.

    Raises:
        UserError: the run kept no results of this evaluation.
    """
    files = [folder / RESULTS for folder in run.folders(evaluation) if (folder / RESULTS).is_file()]
    if not files:
        raise UserError(
            f"{run.report.path}: no results of '{evaluation}'; it has {', '.join(run.evaluations) or 'no evaluation'}"
        )
    return pa.concat_tables(pq.read_table(file) for file in files)


def scores(run: Run, evaluation: str) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """(metric, system) -> language -> prompt -> mean, prompts named by id and text, so that the same id in two data sets is
    never taken for the same prompt. A prompt that is none of the run's own (a benchmark's) is named by its id."""
    texts = _texts(run)
    rows = results(run, evaluation)
    if evaluation in ITERATED:
        # A data set's iterations are what is paired: they take the prompts' place, averaged over data sets.
        iterations = pc.binary_join_element_wise("iteration", pc.cast(rows["sample"], pa.string()), " ")
        rows = rows.set_column(rows.column_names.index("prompt_id"), "prompt_id", iterations)
    return {
        key: {
            language: {texts.get((language, prompt), prompt): value for prompt, value in by_prompt.items()}
            for language, by_prompt in by_language.items()
        }
        for key, by_language in paired.scores(rows).items()
    }


def _texts(run: Run) -> dict[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    for folder in run.folders("prompts"):
        if not (folder / "prompts.parquet").is_file():
            continue
        for row in pq.read_table(folder / "prompts.parquet", columns=["prompt_id", "language", "messages"]).to_pylist():
            text = records.canonical_messages(row["messages"])
            digest = hashlib.sha256(text.encode()).hexdigest()[:NAME_LENGTH]
            names[row["language"], row["prompt_id"]] = f"{row['prompt_id']} {digest}"
    return names


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all, in the order they come in; a key that one does not have is None there."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]
