"""`croco compare`: which runs, in which table and page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from croco import page
from croco.artifacts import files
from croco.cli.options import count, share
from croco.errors import UserError
from croco.evals.comparing import grid, paired, stored
from croco.jobs import experiments
from croco.maths import statistics
from croco.page import comparison
from croco.show import tables

FORMATS = ("text", "markdown", "latex", "json")


def run(given: argparse.Namespace) -> int:
    """Print the table; an experiment's table and page are written to `--results`."""
    plain = not any((given.evaluation, given.metric, given.baseline, given.html)) and given.format == "text"
    if len(given.runs) == 1 and plain:
        if experiments.known(given.runs[0]):
            print(experiments.write(given.runs[0], given.artifacts, given.results))
            return 0
        folder = experiments.sweep_of(given.runs[0], given.artifacts)
        if folder is not None:
            print(experiments.conclude(experiments.collect(folder.name, folder), folder))
            return 0
    print(_table(given), end="")
    return 0


def _table(given: argparse.Namespace) -> str:
    runs = [run for name in given.runs for run in _runs(name, given.artifacts)]
    settings = paired.Settings(given.resamples, given.confidence, given.interval, given.correction)
    made = grid.build(runs, given.evaluation or _evaluation(runs), given.metric, given.baseline, settings)
    if given.html is not None:
        files.write_atomically(given.html, page.render(comparison.of_grid(made)))
        print(f"croco: page: {given.html}", file=sys.stderr)
    for warning in made.warnings:
        print(f"croco: {warning}", file=sys.stderr)
    if given.format == "json":
        return json.dumps(grid.as_json(made), indent=2, ensure_ascii=False) + "\n"
    shown = grid.tables(made)
    if given.format == "markdown":
        return "\n\n".join(map(tables.markdown, shown)) + "\n"
    return (tables.latex if given.format == "latex" else tables.text)(shown)


def _runs(name: str, artifacts: Path) -> list[stored.Run]:
    """A run; or those of a sweep, or of an experiment's newest."""
    folder = experiments.newest_sweep(name, artifacts) if experiments.known(name) else None
    folder = folder or experiments.sweep_of(name, artifacts)
    return [stored.open_run(name, artifacts)] if folder is None else experiments.runs_of(folder)


def _evaluation(runs: Sequence[stored.Run]) -> str:
    """The first one that all runs kept results of."""
    for name in runs[0].evaluations:
        if all(name in run.evaluations for run in runs):
            return name
    has = "; ".join(f"{run.name or run.report.address}: {', '.join(run.evaluations) or 'none'}" for run in runs)
    raise UserError(f"no evaluation is in all runs ({has})")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a report's folder or address, or NAME=that; a sweep's folder or name; an experiment's name",
    )
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where addresses are looked up (runs)")
    parser.add_argument("--baseline", help="the system the others are compared with: a run's name; default: base")
    parser.add_argument("--evaluation", help="which one; default: the first that all runs have")
    parser.add_argument("--metric", help="which of its metrics; default: the one named like the evaluation")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write a page: forest plots, training over one another, lineage, costs",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("experiments/results"),
        help="where an experiment's table and page are written",
    )
    parser.add_argument("--correction", choices=statistics.CORRECTIONS, default="holm", help="bh for large grids")
    parser.add_argument("--interval", choices=statistics.METHODS, default="percentile")
    parser.add_argument("--resamples", type=count, default=10_000)
    parser.add_argument("--confidence", type=share, default=0.95)
