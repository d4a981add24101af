"""Several runs on one page: what sets them apart, their differences as forest plots, their training over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croco.evals.comparing import changes, grid, paired, stored
from croco.page import Page, lineage, multiples, trained
from croco.page.forest import Forest, Interval
from croco.page.marks import SERIES
from croco.show.tables import Table


def of_grid(made: grid.Grid) -> Page:
    """The page of `croco.compare`."""
    _, means, languages = grid.tables(made)
    what = f"{made.metric}, system minus {made.baseline}"
    return Page(
        title=f"croco: {len(made.runs)} {'run' if len(made.runs) == 1 else 'runs'} compared on {made.evaluation}",
        headline=said(made),
        tables=[settings(made.runs), means, languages],
        forests={means.title: of_means(what, made.rows), languages.title: multiples.of_systems(what, made.rows)},
        curves=curves(made.runs),
        settings={run.name: run.report.manifest.get("run", {}) for run in made.runs},
        more=origins(made.runs),
        warnings=made.warnings,
    )


def said(made: grid.Grid) -> str:
    """The means over languages in a sentence, the largest difference first; of many the first and the last ones."""
    means = sorted(((rows[-1], name) for name, rows in made.rows.items()), key=lambda one: -one[0].difference)
    told = [
        f"{name} {mean.difference:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}] ({changes.p_value(mean.p)})"
        for mean, name in means
    ]
    told = told if len(told) <= SERIES else [*told[: SERIES // 2], "…", *told[-SERIES // 2 :]]
    return f"{made.evaluation}: {made.metric}, against {made.baseline}, mean over languages: {'; '.join(told)}."


def settings(runs: Sequence[stored.Run]) -> Table:
    """The keys whose values are not the same in all runs, a column per run."""
    configurations = [run.configuration for run in runs]
    seeds = stored.varied(configurations)
    keys = [key for key in stored.differing(configurations) if key in seeds or key not in stored.SEEDS]
    rows = [(key, *(str(one.get(key)) for one in configurations)) for key in keys]
    addresses = ("report", *(run.report.address for run in runs))
    return Table("Settings in which the runs differ", ("setting", *(run.name for run in runs)), [addresses, *rows])


def of_means(what: str, rows: Mapping[str, Sequence[paired.Effect]]) -> Forest:
    """A row per system: its mean over languages."""
    means = {name: of_system[-1] for name, of_system in rows.items()}
    return Forest(
        what,
        [
            Interval(name, e.difference, e.low, e.high, series=n, seeds=e.by_seed)
            for n, (name, e) in enumerate(means.items())
        ],
    )


def curves(runs: Sequence[stored.Run]) -> list[trained.Curve]:
    """Of as many runs as can be told apart, the first ones."""
    folders = {run.name: folder for run in runs[:SERIES] for folder in run.folders("training")}
    return trained.overlaid({name: folder / trained.METRICS for name, folder in folders.items()})


def origins(runs: Sequence[stored.Run]) -> list[Table]:
    """Costs and lineage of everything before the runs' reports; what runs share is there once."""
    found = lineage.ancestors({run.name: run.report for run in runs})
    return [lineage.costs(found), lineage.lineage(found)]
