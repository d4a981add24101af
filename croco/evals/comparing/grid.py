"""Many systems against one: what `croco.compare` shows, as rows and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from croco.errors import UserError
from croco.evals.comparing import paired, stored
from croco.maths import statistics
from croco.show.tables import Table

BASE, TUNED = "base", "tuned"
AGAINST_BASE = {("arena", "win")}
"""Measured against the base itself, whose own share of wins against itself is one half on every prompt."""


@dataclass(frozen=True)
class Grid:
    """Each system but the baseline, compared with it."""

    runs: Sequence[stored.Run]
    evaluation: str
    metric: str
    baseline: str
    settings: paired.Settings
    rows: Mapping[str, Sequence[paired.Effect]]
    """System -> one row per language, then macro."""
    warnings: Sequence[str]


def build(
    runs: Sequence[stored.Run], evaluation: str, metric: str | None, baseline: str | None, settings: paired.Settings
) -> Grid:
    """Compare what the runs' tuned policies (and `base`) scored in one evaluation.

    Args:
        baseline: a system's name; None is the first of several runs, or `base` for a single one.

    Raises:
        UserError: no such evaluation, metric or baseline, or nothing in common.
    """
    stored_scores: dict[str, Mapping[tuple[str, str], paired.Scores]] = {
        run.name: stored.scores(run, evaluation) for run in runs
    }
    if len(stored_scores) < len(runs):
        raise UserError(
            f"the same run is named twice: {', '.join(run.name for run in runs)}; say NAME=RUN to tell them apart"
        )
    chosen = _metric(evaluation, metric, stored_scores)
    if (evaluation, chosen) in AGAINST_BASE:
        stored_scores = _even(chosen, stored_scores)
    systems = _systems(runs, chosen, stored_scores)
    if baseline is None:
        baseline = runs[0].name if len(runs) > 1 and runs[0].name in systems else BASE
    if baseline not in systems:
        raise UserError(f"--baseline {baseline}: no such system; there are {', '.join(systems)}")
    warnings = _warnings(runs, evaluation)
    order = runs[0].configuration.get("lang.languages", [])
    rows = {}
    # Each family is corrected once all p-values of the grid are there.
    plain = replace(settings, correction="none") if settings.correction == "bh" else settings
    for name, scores in systems.items():
        if name != baseline:
            languages = _languages(baseline, systems[baseline], name, scores, warnings)
            languages.sort(key=lambda language: (order.index(language) if language in order else len(order), language))
            rows[name] = paired.effects(systems[baseline], scores, languages, plain)
    if not rows:
        raise UserError(f"{baseline} is the only system there is; name a second run")
    if settings.correction == "bh":
        rows = _false_discovery(rows)
    return Grid(runs, evaluation, chosen, baseline, settings, rows, warnings)


def _metric(evaluation: str, metric: str | None, scores: Mapping[str, Mapping[tuple[str, str], Any]]) -> str:
    """The one that is asked for, the one named like the evaluation, or the only one."""
    common = sorted(set.intersection(*({metric for metric, _ in of_run} for of_run in scores.values())))
    if metric is None and (evaluation in common or len(common) == 1):
        return evaluation if evaluation in common else common[0]
    if metric not in common:
        said = f"--metric {metric}: not in all runs" if metric else "--metric: choose one"
        raise UserError(f"{said}; their '{evaluation}' has {', '.join(common) or 'no metric in common'}")
    return metric


def _even(
    metric: str, scores: Mapping[str, Mapping[tuple[str, str], paired.Scores]]
) -> dict[str, Mapping[tuple[str, str], paired.Scores]]:
    """The scores with one base for all runs that wins half of its games."""
    half: dict[str, dict[str, float]] = {}
    for of_run in scores.values():
        for language, prompts in of_run.get((metric, BASE), {}).items():
            half.setdefault(language, {}).update(dict.fromkeys(prompts, 0.5))
    return {name: {**of_run, (metric, BASE): half} for name, of_run in scores.items()}


def _systems(
    runs: Sequence[stored.Run], metric: str, scores: Mapping[str, Mapping[tuple[str, str], paired.Scores]]
) -> dict[str, paired.Scores]:
    """`base` (once, where the runs' are the same), then each run's tuned policy under the run's name, then what else it has."""
    systems: dict[str, paired.Scores] = {}
    for run in runs:
        of_run = {system: values for (name, system), values in sorted(scores[run.name].items()) if name == metric}
        others = [system for system in of_run if system != BASE]
        if BASE in of_run and systems.get(BASE, of_run[BASE]) == of_run[BASE]:
            systems[BASE] = of_run[BASE]
        elif BASE in of_run:
            systems[f"{run.name} {BASE}"] = of_run[BASE]
        for system in others:
            alone = system == TUNED or len(others) == 1
            systems[run.name if alone else f"{run.name} {system}"] = of_run[system]
    return systems


def _languages(baseline: str, first: paired.Scores, name: str, second: paired.Scores, warnings: list[str]) -> list[str]:
    """Those in which both have a prompt in common; the others are warned of."""
    shared = [language for language in first if first[language].keys() & second.get(language, {}).keys()]
    if not shared:
        raise UserError(
            f"{baseline} and {name}: no prompt in common (languages {', '.join(first)} and {', '.join(second)}); "
            "runs are compared on the same held-out prompts"
        )
    missing = sorted((first.keys() | second.keys()) - set(shared))
    if missing:
        warnings.append(f"{name}: {', '.join(missing)} not compared, no prompt in common with {baseline}")
    return shared


def _warnings(runs: Sequence[stored.Run], evaluation: str) -> list[str]:
    """Runs whose evaluation was set up differently measure different things."""
    keys = stored.differing([run.settings(evaluation) for run in runs])
    return [f"the runs' '{evaluation}' was not set up alike: {', '.join(keys)}"] if keys else []


def _false_discovery(rows: Mapping[str, Sequence[paired.Effect]]) -> dict[str, list[paired.Effect]]:
    """Benjamini-Hochberg over the languages of all comparisons, and over all macro rows."""
    corrected: dict[str, list[paired.Effect]] = {name: [] for name in rows}
    for family in (
        [(name, row) for name, of_system in rows.items() for row in of_system[:-1]],
        [(name, of_system[-1]) for name, of_system in rows.items()],
    ):
        p_values = statistics.benjamini_hochberg([row.p for _, row in family])
        for (name, row), p in zip(family, p_values, strict=True):
            corrected[name].append(replace(row, p=p))
    return corrected


COLUMNS = {
    "language": "language",
    "prompts": "prompts",
    "not_shared": "not shared",
    "first": "baseline",
    "second": "system",
    "difference": "difference",
    "low": "low",
    "high": "high",
    "p": "p",
    "win_rate": "wins",
    "detectable": "detectable",
}


def tables(grid: Grid) -> list[Table]:
    """The runs, the macro averages, and the languages."""
    macro = {name: [rows[-1]] for name, rows in grid.rows.items()}
    languages = {name: rows[:-1] for name, rows in grid.rows.items()}
    what = f"{grid.evaluation}: {grid.metric}, against {grid.baseline}"
    return [
        _runs(grid.runs),
        _effects(f"{what}, mean over languages", macro, _note(grid)),
        _effects(f"{what}, by language", languages, ""),
    ]


def _effects(title: str, rows: Mapping[str, Sequence[paired.Effect]], note: str) -> Table:
    lines = [
        [name, *(getattr(row, column) for column in COLUMNS)] for name, of_system in rows.items() for row in of_system
    ]
    return Table(title, ["compared", *COLUMNS.values()], lines, note, digits=4)


def _runs(runs: Sequence[stored.Run]) -> Table:
    configurations = [run.configuration for run in runs]
    keys = stored.differing(configurations)
    rows = [
        [run.name, run.report.address, ", ".join(f"{key}={one.get(key)}" for key in keys) or "nothing"]
        for run, one in zip(runs, configurations, strict=True)
    ]
    return Table("Runs", ["run", "report", "settings in which they differ"], rows)


def _note(grid: Grid) -> str:
    settings = grid.settings
    corrected = {
        "holm": "Holm-adjusted over a comparison's languages (macro: one test)",
        "bh": "Benjamini-Hochberg-adjusted over the languages of all comparisons, and over all macro rows",
        "none": "not adjusted",
    }[settings.correction]
    return (
        f"Difference: system minus baseline on the prompts both answered, with its {settings.confidence:.0%} interval "
        f"({settings.interval} bootstrap, {settings.resamples:,} resamples of prompts, jointly over languages); p: sign flips "
        f"(exact McNemar for zeros and ones), {corrected}; wins: ties half; detectable: the smallest difference so many prompts "
        f"show with {paired.POWER:.0%} power; not shared: prompts only one of the two answered, left out."
    )


def as_json(grid: Grid) -> dict[str, Any]:
    """Everything that the tables show, under names."""
    return {
        "evaluation": grid.evaluation,
        "metric": grid.metric,
        "baseline": grid.baseline,
        **asdict(grid.settings),
        "power": paired.POWER,
        "runs": [{"name": run.name, "report": run.report.address} for run in grid.runs],
        "rows": [{"system": name, **asdict(row)} for name, of_system in grid.rows.items() for row in of_system],
        "warnings": list(grid.warnings),
    }
