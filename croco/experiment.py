"""`python -m croco.experiment NAME [--artifacts runs]`: what an experiment came to, as experiments/results/NAME.md.

Made from the outcomes of its newest sweep and from the stored results of its jobs; nothing is run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from croco import outcomes, sweep, tables
from croco.config import CONF
from croco.errors import UserError
from croco.evals import grid, paired, stored
from croco.outcomes import DONE, Outcome
from croco.store import write_atomically
from croco.tables import Table

EXPERIMENTS = CONF.parent / "experiments"
SETTINGS = paired.Settings(resamples=10_000, confidence=0.95)
SIGNIFICANT = 0.05


def newest_sweep(name: str, artifacts: Path) -> Path:
    """The folder of the experiment's newest sweep.

    Raises:
        UserError: there is no such experiment, or it has not been run.
    """
    if not (EXPERIMENTS / f"{name}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
        raise UserError(f"{name}: no such experiment; there is {known}")
    sweeps = sorted((artifacts / "sweeps").glob(f"{name}-*/"), key=lambda folder: folder.stat().st_mtime)
    if not sweeps:
        raise UserError(f"{artifacts / 'sweeps'}: {name} has not been run; make experiment NAME={name}")
    return sweeps[-1]


def page(name: str, folder: Path, artifacts: Path) -> str:
    """Markdown: what it is, its jobs, and for each evaluation tuned against base, job by job and language by language."""
    jobs = outcomes.of_sweep(folder)
    made = sweep.table(name, jobs)
    runs = _runs(made, jobs, artifacts)
    evaluations = dict.fromkeys(evaluation for run in runs for evaluation in run.evaluations)
    shown = [made, *(table for evaluation in evaluations for table in _against_base(runs, evaluation))]
    return "\n\n".join([f"# {name}", _about(name), *map(tables.markdown, shown)]) + "\n"


def _about(name: str) -> str:
    """The comment at the head of the YAML, its commands as code."""
    lines = (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[1:]
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


def _against_base(runs: Sequence[stored.Run], evaluation: str) -> list[Table]:
    """A row per job, a column per language: tuned minus base. Nothing where no base is compared with a tuned policy."""
    effects: dict[str, dict[str, paired.Effect]] = {}
    metric = ""
    for run in runs:
        try:
            made = grid.build([run], evaluation, None, grid.BASE, SETTINGS)
        except UserError:
            continue
        metric = made.metric
        effects[run.name] = {row.language: row for row in next(iter(made.rows.values()))}
    if not effects:
        return []
    found = dict.fromkeys(language for rows in effects.values() for language in rows if language != paired.MACRO)
    languages = [*found, paired.MACRO]
    rows = [(name, *(_cell(by_language.get(one)) for one in languages)) for name, by_language in effects.items()]
    note = (
        f"Tuned minus base on the same prompts; * where p < {SIGNIFICANT} (sign flips, Holm-adjusted over the run's languages; "
        "macro: one test)."
    )
    return [
        Table(f"{evaluation}: {metric}", ("job", *languages), rows, note),
        *_over_seeds(effects, languages, evaluation),
    ]


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="croco.experiment", description=__doc__)
    parser.add_argument("name", help="a file of experiments/, without .yaml")
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")
    parser.add_argument("--results", type=Path, default=EXPERIMENTS / "results", help="where NAME.md is written")
    given = parser.parse_args(arguments)
    try:
        folder = newest_sweep(given.name, given.artifacts)
        file = given.results / f"{given.name}.md"
        write_atomically(file, page(given.name, folder, given.artifacts))
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        return 2
    print(f"experiment: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
