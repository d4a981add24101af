"""An experiment's results, as NAME.md and NAME.html (`croco compare NAME`).

Made from the outcomes of its newest sweep and from the stored results of its jobs; nothing is run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from croco import page
from croco.artifacts.store import write_atomically
from croco.config.paths import EXPERIMENTS_NAME, files
from croco.errors import UserError
from croco.evals.comparing import grid, paired, stored
from croco.jobs import outcomes, sweep
from croco.jobs.outcomes import DONE, Outcome
from croco.page import comparison
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
    """What its newest sweep came to."""

    name: str
    jobs: Table
    runs: Sequence[stored.Run]
    compared: Sequence[Against]
    """One per evaluation in which a base is compared with a tuned policy."""

    @property
    def tables(self) -> list[Table]:
        return [self.jobs, *(table for against in self.compared for table in against.tables)]


@dataclass(frozen=True)
class Against:
    """Tuned against base in one evaluation: job -> a row per language, then macro."""

    evaluation: str
    metric: str
    effects: Mapping[str, Sequence[paired.Effect]]

    @property
    def tables(self) -> list[Table]:
        """A row per job, a column per language; and the same over the seeds, where there are several."""
        by_job = {name: {row.language: row for row in rows} for name, rows in self.effects.items()}
        found = dict.fromkeys(language for rows in by_job.values() for language in rows if language != paired.MACRO)
        languages = [*found, paired.MACRO]
        rows = [(name, *(_cell(by_language.get(one)) for one in languages)) for name, by_language in by_job.items()]
        note = (
            f"Tuned minus base on the same prompts; * where p < {SIGNIFICANT} (sign flips, Holm-adjusted over the run's "
            "languages; macro: one test)."
        )
        return [
            Table(f"{self.evaluation}: {self.metric}", ("job", *languages), rows, note),
            *_over_seeds(by_job, languages, self.evaluation),
        ]


def collect(name: str, folder: Path, artifacts: Path) -> Experiment:
    """From the outcomes of a sweep's jobs and the artifacts of those that are done."""
    jobs = outcomes.of_sweep(folder)
    made = sweep.table(name, jobs)
    runs = _runs(made, jobs, artifacts)
    evaluations = dict.fromkeys(evaluation for run in runs for evaluation in run.evaluations)
    compared = [against for one in evaluations if (against := _against_base(runs, one)).effects]
    return Experiment(name, made, runs, compared)


def markdown(made: Experiment) -> str:
    """What it is, its jobs, and for each evaluation tuned against base, job by job and language by language."""
    return "\n\n".join([f"# {made.name}", _about(made.name), *map(tables.markdown, made.tables)]) + "\n"


def html(made: Experiment) -> str:
    """The same as a page, with a forest plot per evaluation: by language for few jobs, else their means over languages."""
    forests = {}
    for against in made.compared:
        draw = comparison.by_language if len(against.effects) <= SERIES else comparison.of_means
        forests[against.tables[0].title] = draw(f"{against.metric}, tuned minus base", against.effects)
    few = len(made.runs) <= SERIES
    return page.render(
        page.Page(
            title=f"croco: {made.name}",
            headline=_about(made.name).split("\n\n")[0],
            tables=[made.jobs, *([comparison.settings(made.runs)] if few and made.runs else []), *made.tables[1:]],
            forests=forests,
            series=list(made.compared[0].effects) if few and made.compared else [],
            curves=comparison.curves(made.runs),
            settings={run.name: run.report.manifest.get("run", {}) for run in made.runs[:1]},
            more=comparison.origins(made.runs) if made.runs else [],
        )
    )


def _about(name: str) -> str:
    """The comment at the head of the YAML, its commands as code."""
    lines = files(EXPERIMENTS_NAME)[name].read_text(encoding="utf-8").splitlines()[1:]
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    said = " ".join(line.removeprefix("# ") for line in head if not line.startswith("#  "))
    return "\n".join([said, "", *("    " + line.removeprefix("#").strip() for line in head if line.startswith("#  "))])


def _runs(made: Table, jobs: Sequence[Outcome], artifacts: Path) -> list[stored.Run]:
    """The finished jobs, by the words that tell them apart."""
    return [
        stored.open_run(f"{row[0]}={job.report}", artifacts)
        for row, job in zip(made.rows, jobs, strict=True)
        if job.state == DONE
    ]


def _against_base(runs: Sequence[stored.Run], evaluation: str) -> Against:
    """No effects where no base is compared with a tuned policy."""
    effects: dict[str, Sequence[paired.Effect]] = {}
    metric = ""
    for run in runs:
        try:
            made = grid.build([run], evaluation, None, grid.BASE, SETTINGS)
        except UserError:
            continue
        metric = made.metric
        effects[run.name] = next(iter(made.rows.values()))
    return Against(evaluation, metric, effects)


def _over_seeds(
    effects: Mapping[str, Mapping[str, paired.Effect]], languages: Sequence[str], evaluation: str
) -> list[Table]:
    """The mean and the range of the same differences over jobs that only the seed tells apart; nothing where there are none."""
    groups: dict[str, list[Mapping[str, paired.Effect]]] = {}
    for name, by_language in effects.items():
        words = " ".join(word for word in name.split() if not word.startswith("seed="))
        groups.setdefault(words or "all", []).append(by_language)
    if max(map(len, groups.values())) == 1:
        return []
    rows = [
        (
            words,
            len(of_seeds),
            *(_range([one[language].difference for one in of_seeds if language in one]) for language in languages),
        )
        for words, of_seeds in groups.items()
    ]
    return [Table(f"{evaluation}, mean over seeds [lowest, highest]", ("job", "seeds", *languages), rows)]


def _range(values: Sequence[float]) -> str | None:
    return f"{sum(values) / len(values):+.3f} [{min(values):+.3f}, {max(values):+.3f}]" if values else None


def _cell(effect: paired.Effect | None) -> str | None:
    return None if effect is None else f"{effect.difference:+.3f}{'*' if effect.p < SIGNIFICANT else ''}"


def known(name: str) -> bool:
    """Whether an experiment is called so."""
    return name in files(EXPERIMENTS_NAME)


def write(name: str, artifacts: Path, results: Path) -> str:
    """Write NAME.md and NAME.html to `results`; returns where.

    Raises:
        UserError: as `newest_sweep`.
    """
    made = collect(name, newest_sweep(name, artifacts), artifacts)
    file = results / f"{name}.md"
    write_atomically(file, markdown(made))
    write_atomically(file.with_suffix(".html"), html(made))
    return f"experiment: {file}\npage: {file.with_suffix('.html')}"
