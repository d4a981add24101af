"""Two models out of any result files of EuroEval: which rows are paired, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from croco.errors import UserError
from croco.evals.benchmarks import results
from croco.evals.benchmarks.results import Measured

SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Pairs:
    """What both models were measured on, in the same way."""

    base: list[Measured]
    tuned: list[Measured]
    languages: dict[str, list[str]]
    """Data sets by language; a data set measured in several ways counts as several."""
    warnings: list[str]


def pairs(files: Sequence[Path], base: str, tuned: str) -> Pairs:
    """The rows of two models, by their names or a part of them that no other has.

    Raises:
        UserError: no such model, several, or nothing that both were measured on.
    """
    rows = [row for file in files for row in results.read(file)]
    systems = [_of_model(rows, name, option) for name, option in ((base, "--base"), (tuned, "--tuned"))]
    first, second = ({row.setup: row for row in system} for system in systems)
    found: tuple[list[Measured], list[Measured]] = [], []
    languages: dict[str, list[str]] = {}
    warnings = []
    several = {name for name, *_ in first if sum(name == other for other, *_ in first) > 1}
    for setup in first:
        if setup not in second:
            continue
        one, other = first[setup], second[setup]
        why = _not_paired(one, other)
        if why:
            warnings.append(f"{one.dataset}: {why}; left out")
            continue
        name = _name(setup) if one.dataset in several else one.dataset
        found[0].append(replace(one, dataset=name))
        found[1].append(replace(other, dataset=name))
        languages.setdefault(one.language, []).append(name)
        if one.version != other.version:
            warnings.append(f"{name}: measured by EuroEval {one.version} and {other.version}; prompts may differ")
    for option, there, others in (("base", first, second), ("tuned", second, first)):
        alone = [_name(setup) for setup in there if setup not in others]
        if alone:
            warnings.append(f"measured for {option} alone, left out: {', '.join(alone[:SHOWN])}")
    if not found[0]:
        raise UserError("nothing to compare: " + "; ".join(warnings))
    return Pairs(*found, languages, warnings)


def _of_model(rows: Sequence[Measured], name: str, option: str) -> list[Measured]:
    models = list(dict.fromkeys(row.model for row in rows))
    fitting = [model for model in models if model == name] or [model for model in models if name in model]
    if len(fitting) != 1:
        said = f"several fit ({', '.join(fitting[:SHOWN])})" if fitting else f"there is {', '.join(models[:SHOWN])}"
        raise UserError(f"{option} {name}: {'no such model; ' if not fitting else ''}{said}")
    return [row for row in rows if row.model == fitting[0]]


def _not_paired(base: Measured, tuned: Measured) -> str:
    if list(base.scores) != list(tuned.scores):
        return f"other metrics ({', '.join(base.scores)}; {', '.join(tuned.scores)})"
    counts = len(base.iterations), len(tuned.iterations)
    if counts[0] != counts[1]:
        return f"{counts[0]} and {counts[1]} iterations"
    return "one iteration alone, which has no spread" if counts[0] < 2 else ""


def _name(setup: tuple[str, bool | None, bool | None]) -> str:
    dataset, few_shot, validation = setup
    told = [word for word, so in (("zero-shot", few_shot is False), ("val", validation is True)) if so]
    return f"{dataset} ({', '.join(told)})" if told else dataset
