"""Many systems against one: what `croco.compare` shows, as rows and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from croco.errors import UserError
from croco.evals.comparing import arms, paired, stored
from croco.show.tables import Table

BASE, TUNED = "base", "tuned"
OF_LANGUAGES = ("languages", "language")
"""Settings of an evaluation that say where it is measured, not how."""
AGAINST_BASE = {("arena", "win")}
"""Measured against the base itself, whose own share of wins against itself is one half on every prompt."""


PRIMARY = {"checks": "prompt_strict", "arena": "win", "euroeval": "score", "reward_ranking": "accuracy"}
"""An evaluation's first metric, where it is not called like the evaluation."""


@dataclass(frozen=True)
class Grid:
    """Each system but the baseline, compared with it."""

    runs: Sequence[stored.Run]
    arms: Sequence[stored.Arm]
    evaluation: str
    metric: str
    baseline: str
    settings: paired.Settings
    rows: Mapping[str, Sequence[paired.Effect]]
    """System -> one row per language, then macro."""
    warnings: Sequence[str]


Arm = Sequence[paired.Scores]
"""A system's scores, seed by seed."""


def build(
    runs: Sequence[stored.Run], evaluation: str, metric: str | None, baseline: str | None, settings: paired.Settings
) -> Grid:
    """Compare what the runs' tuned policies (and `base`) scored in one evaluation; runs that only seeds tell apart are one.

    Args:
        baseline: a system's name; None is `base`, of each run its own, or the first run where none has a base.

    Raises:
        UserError: no such evaluation, metric or baseline, or nothing in common.
    """
    arms_of_runs = stored.arms(runs)
    runs = [run for arm in arms_of_runs for run in arm.runs]
    stored_scores: dict[str, Mapping[tuple[str, str], paired.Scores]] = {
        run.name: stored.scores(run, evaluation) for run in runs
    }
    chosen = _metric(evaluation, metric, stored_scores)
    if (evaluation, chosen) in AGAINST_BASE:
        stored_scores = _even(chosen, stored_scores)
    bases, systems = _systems(arms_of_runs, chosen, stored_scores)
    names = [*bases, *systems]
    if baseline is None:
        baseline = BASE if bases else next(iter(systems))
    if baseline not in (names if baseline != BASE else bases):
        raise UserError(f"--baseline {baseline}: no such system; there are {', '.join(names)}")
    warnings = _warnings(runs, evaluation)
    order = list(dict.fromkeys(lang for run in runs for lang in run.configuration.get("lang.languages", [])))
    rows: dict[str, list[paired.Effect]] = {}
    if baseline == BASE:
        pairs = [(name, own, arm) for name, (arm, own) in systems.items() if own is not None]
        warnings += [f"{name}: its run measured no base" for name, (_, own) in systems.items() if own is None]
    else:
        everything = {
            **{name: [base] for name, base in bases.items()},
            **{name: arm for name, (arm, _) in systems.items()},
        }
        first = everything.pop(baseline)
        pairs = [(name, first, arm) for name, arm in everything.items()]
    languages = {name: _languages(baseline, first, name, second, warnings) for name, first, second in pairs}
    plain = replace(settings, correction="none", tests=sum(map(len, languages.values())))
    for name, first, second in pairs:
        found = sorted(languages[name], key=lambda lang: (order.index(lang) if lang in order else len(order), lang))
        if found:
            rows[name] = arms.effects(evaluation, first, second, found, plain)
    if not rows:
        alone = f"{baseline} is the only system there is; name a second run" if not pairs else "; ".join(warnings)
        raise UserError(alone)
    compared = {language for of_system in rows.values() for language in (row.language for row in of_system[:-1])}
    if any(len(of_system) - 1 < len(compared) for of_system in rows.values()):
        warnings.append(
            "means over languages are over those that a comparison has, and not of the same languages in all"
        )
    rows = arms.corrected(rows, settings.correction)
    warnings += arms.said(rows)
    return Grid(runs, arms_of_runs, evaluation, chosen, baseline, settings, rows, warnings)


def _metric(evaluation: str, metric: str | None, scores: Mapping[str, Mapping[tuple[str, str], Any]]) -> str:
    """The one that is asked for, the evaluation's first, or the only one."""
    common = sorted(set.intersection(*({metric for metric, _ in of_run} for of_run in scores.values())))
    first = PRIMARY.get(evaluation, evaluation)
    if metric is None and (first in common or len(common) == 1):
        return first if first in common else common[0]
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
    given: Sequence[stored.Arm], metric: str, scores: Mapping[str, Mapping[tuple[str, str], paired.Scores]]
) -> tuple[dict[str, paired.Scores], dict[str, tuple[Arm, Arm | None]]]:
    """(bases, each other system's scores seed by seed with its own base's).

    There is one `base` where no two runs' disagree in a language; a run whose base is another has it under its own name.
    """
    bases: dict[str, dict[str, Mapping[str, float]]] = {}
    systems: dict[str, tuple[Arm, Arm | None]] = {}
    for arm in given:
        of_runs = [
            {system: v for (name, system), v in sorted(scores[run.name].items()) if name == metric} for run in arm.runs
        ]
        for run, of_run in zip(arm.runs, of_runs, strict=True):
            base = of_run.get(BASE)
            if base is None:
                continue
            same = all(bases.get(BASE, {}).get(language, values) == values for language, values in base.items())
            bases.setdefault(BASE if same else f"{run.name} {BASE}", {}).update(base)
        own = [of_run[BASE] for of_run in of_runs if BASE in of_run]
        distinct = [base for place, base in enumerate(own) if base not in own[:place]]
        others = list(dict.fromkeys(system for of_run in of_runs for system in of_run if system != BASE))
        for system in others:
            name = arm.name if system == TUNED or len(others) == 1 else f"{arm.name} {system}"
            seeds = [of_run[system] for of_run in of_runs if system in of_run]
            systems[name] = seeds, distinct or None
    return dict(bases), systems


def _languages(baseline: str, first: Arm, name: str, second: Arm, warnings: list[str]) -> list[str]:
    """Those in which all seeds of both have a prompt in common; the others are warned of."""
    everywhere = [set.intersection(*(set(one.get(lang, {})) for one in (*first, *second))) for lang in first[0]]
    shared = [language for language, prompts in zip(first[0], everywhere, strict=True) if prompts]
    known = {language for one in second for language in one}
    if not shared:
        warnings.append(
            f"{name}: not compared, no prompt in common with {baseline} (languages {', '.join(sorted(known))})"
        )
        return shared
    missing = sorted(known - set(shared))
    if missing:
        warnings.append(f"{name}: {', '.join(missing)} not compared, no prompt in common with {baseline}")
    return shared


def _warnings(runs: Sequence[stored.Run], evaluation: str) -> list[str]:
    """Runs whose evaluation was set up differently measure different things."""
    keys = [key for key in stored.differing([run.settings(evaluation) for run in runs]) if key not in OF_LANGUAGES]
    alike = [f"the runs' '{evaluation}' was not set up alike: {', '.join(keys)}"] if keys else []
    warned: dict[str, list[str]] = {}
    for run in runs:
        for said in run.report.summary.get("warnings", ()):
            warned.setdefault(said, []).append(run.name)
    return alike + [f"{', '.join(names)}: {said}" for said, names in warned.items()]


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
    "seeds": "seeds",
    "lowest": "lowest",
    "highest": "highest",
}


def tables(grid: Grid) -> list[Table]:
    """The runs, the macro averages, and the languages."""
    macro = {name: [rows[-1]] for name, rows in grid.rows.items()}
    languages = {name: rows[:-1] for name, rows in grid.rows.items()}
    what = f"{grid.evaluation}: {grid.metric}, against {grid.baseline}"
    return [
        _runs(grid.arms),
        _effects(f"{what}, mean over languages", macro, _note(grid)),
        _effects(f"{what}, by language", languages, ""),
    ]


def _effects(title: str, rows: Mapping[str, Sequence[paired.Effect]], note: str) -> Table:
    lines = [
        [name, *(getattr(row, column) for column in COLUMNS)] for name, of_system in rows.items() for row in of_system
    ]
    return Table(title, ["compared", *COLUMNS.values()], lines, note, digits=4)


def _runs(given: Sequence[stored.Arm]) -> Table:
    configurations = [arm.runs[0].configuration for arm in given]
    keys = [key for key in stored.differing(configurations) if key not in stored.SEEDS]
    rows = [
        [
            arm.name,
            ", ".join(run.report.address for run in arm.runs),
            arm.seeds,
            ", ".join(f"{key}={one.get(key)}" for key in keys) or "nothing",
        ]
        for arm, one in zip(given, configurations, strict=True)
    ]
    note = "; ".join(f"{key}: {what}" for key, what in stored.SEEDS.items())
    return Table("Runs", ["run", "report", "seeds", "settings in which they differ"], rows, f"Seeds, {note}.")


def _note(grid: Grid) -> str:
    settings = grid.settings
    corrected = {
        "holm": "Holm-adjusted over the languages of all comparisons, and over all macro rows",
        "bh": "Benjamini-Hochberg-adjusted over the languages of all comparisons, and over all macro rows",
        "none": "not adjusted",
    }[settings.correction]
    return (
        f"Difference: system minus baseline on the prompts both answered, with its {settings.confidence:.0%} interval "
        f"({settings.interval} bootstrap, {settings.resamples:,} resamples of prompts, jointly over languages; with several "
        "seeds of seeds, then prompts; EuroEval: Student's t over paired iterations); p: sign flips (exact McNemar for zeros "
        f"and ones; with several seeds the same bootstrap), {corrected}; lowest, highest: of the seeds' differences, each a "
        f"stroke in a plot; wins: ties half; detectable: the smallest difference so many prompts show with {paired.POWER:.0%} "
        "power; not shared: prompts only one of the two answered, left out."
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
        "rows": [
            {"system": name, **asdict(row), "lowest": row.lowest, "highest": row.highest}
            for name, of_system in grid.rows.items()
            for row in of_system
        ],
        "warnings": list(grid.warnings),
    }
