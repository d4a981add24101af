"""An experiment's results, as NAME.md and NAME.html (`croco compare NAME`).

Made from the outcomes of its newest sweep and from the stored results of its jobs; nothing is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from croco import page
from croco.artifacts.files import write_atomically
from croco.config.paths import EXPERIMENTS_NAME, files
from croco.errors import UserError
from croco.evals.comparing import grid, paired, stored
from croco.jobs import outcomes, summary
from croco.jobs.outcomes import DONE
from croco.jobs.sweep import COMPARISON
from croco.page import comparison, multiples
from croco.page.marks import SERIES
from croco.show import tables
from croco.show.tables import Table

SETTINGS = paired.Settings(resamples=10_000, confidence=0.95)
SIGNIFICANT = 0.05


def newest_sweep(name: str, artifacts: Path) -> Path:
    """The folder of the experiment's newest sweep.

    Raises:
        UserError: there is no such experiment, or it has not been run.
    """
    if not known(name):
        raise UserError(f"{name}: no such experiment; there is {', '.join(files(EXPERIMENTS_NAME))}")
    sweeps = sorted((artifacts / "sweeps").glob(f"{name}-*/"), key=lambda folder: folder.stat().st_mtime)
    if not sweeps:
        raise UserError(f"{artifacts / 'sweeps'}: {name} has not been run; make experiment NAME={name}")
    return sweeps[-1]


@dataclass(frozen=True)
class Experiment:
    """What a sweep came to."""

    name: str
    about: str
    jobs: Table
    runs: Sequence[stored.Run]
    compared: Sequence[grid.Grid]
    """One per evaluation in which a base is compared with a tuned policy, the primary endpoint first."""
    primary: str | None

    @property
    def warnings(self) -> list[str]:
        """What the comparisons warn of, and a primary endpoint that is none of them."""
        measured = [f"{made.evaluation}.{made.metric}" for made in self.compared]
        lines = [line for made in self.compared for line in made.warnings]
        if self.primary is not None and self.primary not in measured:
            lines.insert(
                0, f"evals.primary: {self.primary} was not measured; there is {', '.join(measured) or 'nothing'}"
            )
        return list(dict.fromkeys(lines))

    @property
    def tables(self) -> list[Table]:
        return [self.jobs, *(table for made in self.compared for table in against_base(made, self.primary))]


def against_base(made: grid.Grid, primary: str | None = None) -> list[Table]:
    """A row per arm, a column per language, stars corrected over all of them; and its seeds' spread, where there are several."""
    arms = {name: {row.language: row for row in rows} for name, rows in made.rows.items()}
    found = dict.fromkeys(language for rows in arms.values() for language in rows if language != paired.MACRO)
    languages = [*found, paired.MACRO]
    seeds = {arm.name: arm.seeds for arm in made.arms}
    rows = [
        (name, seeds.get(name, str(of_arm[paired.MACRO].seeds)), *(_cell(of_arm.get(one)) for one in languages))
        for name, of_arm in arms.items()
    ]
    note = (
        f"Tuned minus {made.baseline} on the same prompts; * where p < {SIGNIFICANT}, Holm-adjusted over the jobs and "
        "languages of this table (macro: over the jobs)."
    )
    few = [line for line in made.warnings if line.startswith("fewer than")]
    title = f"{made.evaluation}: {made.metric}"
    if primary == f"{made.evaluation}.{made.metric}":
        title += " (primary endpoint)"
    shown = [
        Table(title, ("job", "seeds", *languages), rows, " ".join([note, *(f"{line.capitalize()}." for line in few)]))
    ]
    if any(of_arm[paired.MACRO].seeds > 1 for of_arm in arms.values()):
        spread = [(name, *(_range(of_arm.get(one)) for one in languages)) for name, of_arm in arms.items()]
        shown.append(Table(f"{title}, mean over seeds [lowest, highest]", ("job", *languages), spread))
    return shown


def collect(name: str, folder: Path) -> Experiment:
    """From the outcomes of a sweep's jobs and the artifacts of those that are done."""
    jobs = outcomes.of_sweep(folder)
    runs = runs_of(folder)
    primary = next((run.configuration.get("evals.primary") for run in runs), None)
    evaluations = list(dict.fromkeys(evaluation for run in runs for evaluation in run.evaluations))
    first = (primary or "").partition(".")[0]
    evaluations.sort(key=lambda evaluation: evaluation != first)
    compared = [made for one in evaluations if (made := _compared(runs, one, primary)) is not None]
    about = _about(name) if known(name) else ""
    return Experiment(name, about, summary.table(name, jobs), runs, compared, primary)


def runs_of(folder: Path) -> list[stored.Run]:
    """A sweep's finished jobs in its order, by the words that tell them apart; the same report once.

    Raises:
        UserError: none is done.
    """
    jobs = outcomes.of_sweep(folder)
    if not jobs:
        raise UserError(f"{folder}: none of a sweep's jobs has left an outcome here")
    found: dict[str, stored.Run] = {}
    for name, job in zip(summary.names(jobs), jobs, strict=True):
        report = report_of(job, folder)
        if report is not None:
            run = stored.open_run(str(report), report.parents[1])
            found.setdefault(run.report.address, replace(run, name=name))
    if not found:
        raise UserError(f"{folder}: none of its {len(jobs)} jobs is done; croco status says what became of them")
    return list(found.values())


def report_of(job: outcomes.Outcome, sweep: Path) -> Path | None:
    """Where a finished job's report lies: as it said, from where it ran, or beside the sweep, which may have moved since."""
    if job.state != DONE or job.report is None:
        return None
    places = (Path(job.report), sweep.parents[1] / "report" / Path(job.report).name)
    return next((place for place in places if place.is_dir()), None)


def _compared(runs: Sequence[stored.Run], evaluation: str, primary: str | None) -> grid.Grid | None:
    """None where no base is compared with a tuned policy."""
    having = [run for run in runs if evaluation in run.evaluations]
    metric = (primary or "").partition(".")[2] if (primary or "").startswith(f"{evaluation}.") else None
    for one in dict.fromkeys((metric, None)):  # a metric that there is not is warned of, and hides no comparison
        with suppress(UserError):
            return grid.build(having, evaluation, one, grid.BASE, SETTINGS)
    return None


def markdown(made: Experiment) -> str:
    """What it is, its jobs, and for each evaluation tuned against base, job by job and language by language."""
    warnings = "\n".join(f"* {line}" for line in made.warnings)
    parts = [f"# {made.name}", made.about, *map(tables.markdown, made.tables), warnings]
    return "\n\n".join(part for part in parts if part) + "\n"


def html(made: Experiment) -> str:
    """The same as a page, with a plot per evaluation: a column per job, a row per language."""
    forests = {}
    for one in made.compared:
        what = f"{one.metric}, tuned minus {one.baseline}"
        forests[against_base(one, made.primary)[0].title] = multiples.of_systems(what, one.rows)
    few = len(made.runs) <= SERIES
    runs = made.compared[0].runs if made.compared else made.runs
    return page.render(
        page.Page(
            title=f"croco: {made.name}",
            headline=" ".join([made.about.split("\n\n")[0], *map(comparison.said, made.compared)]).strip(),
            tables=[made.jobs, *([comparison.settings(runs)] if few and made.runs else []), *made.tables[1:]],
            forests=forests,
            curves=comparison.curves(runs),
            settings={run.name: run.report.manifest.get("run", {}) for run in runs[:1]},
            more=comparison.origins(runs) if runs else [],
            warnings=made.warnings,
        )
    )


def _about(name: str) -> str:
    """The comment at the head of the YAML, its commands as code."""
    lines = files(EXPERIMENTS_NAME)[name].read_text(encoding="utf-8").splitlines()[1:]
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    said = " ".join(line.removeprefix("# ") for line in head if not line.startswith("#  "))
    return "\n".join([said, "", *("    " + line.removeprefix("#").strip() for line in head if line.startswith("#  "))])


def _range(effect: paired.Effect | None) -> str | None:
    if effect is None:
        return None
    if effect.lowest is None or effect.highest is None:
        return _signed(effect.difference)
    return f"{_signed(effect.difference)} [{_signed(effect.lowest)}, {_signed(effect.highest)}]"


def _cell(effect: paired.Effect | None) -> str | None:
    return None if effect is None else f"{_signed(effect.difference)}{'*' if effect.p < SIGNIFICANT else ''}"


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # what rounds to zero has no minus


def known(name: str) -> bool:
    """Whether an experiment is called so."""
    return name in files(EXPERIMENTS_NAME)


def write(name: str, artifacts: Path, results: Path) -> str:
    """Write NAME.md and NAME.html to `results`; returns where.

    Raises:
        UserError: as `newest_sweep`.
    """
    made = collect(name, newest_sweep(name, artifacts))
    file = results / f"{name}.md"
    write_atomically(file, markdown(made))
    write_atomically(file.with_suffix(".html"), html(made))
    return f"experiment: {file}\npage: {file.with_suffix('.html')}"


def sweep_of(name: str, artifacts: Path) -> Path | None:
    """The folder of a sweep, by its path or its name (or the only one that starts so) under the artifacts; None for none."""
    here = Path(name)
    if here.is_dir():
        return here if outcomes.of_sweep(here) else None
    found = [f for f in (artifacts / "sweeps").glob("*/") if f.name.startswith(name) and outcomes.of_sweep(f)]
    exact = [folder for folder in found if folder.name == name] or found
    return exact[0] if len(exact) == 1 else None


NUMBERS = ("difference", "low", "high", "p", "seeds", "lowest", "highest")


def numbers(made: Experiment) -> dict[str, float]:
    """`<evaluation>/<metric>/<arm>/<language>/<number>`, for a summary; the seeds' ends where there are several."""
    return {
        f"{one.evaluation}/{one.metric}/{name}/{row.language}/{number}": value
        for one in made.compared
        for name, rows in one.rows.items()
        for row in rows
        for number in NUMBERS
        if (value := getattr(row, number)) is not None
    }


def conclude(made: Experiment, folder: Path) -> str:
    """Write a sweep's comparison beside its summary; returns its tables and where they are."""
    if not made.compared:
        return f"{folder}: no evaluation in which a tuned policy is compared with its base"
    file = folder / COMPARISON
    write_atomically(file, markdown(made))
    write_atomically(file.with_suffix(".html"), html(made))
    shown = tables.text(made.tables[1:]).rstrip()
    lines = [f"! {line}" for line in made.warnings]
    return "\n".join([shown, *lines, f"comparison: {file}", f"page: {file.with_suffix('.html')}"])
