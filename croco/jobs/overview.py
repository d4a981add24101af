"""What runs leave on disk, as tables: runs, sweeps, what is being made and how far it is, and what failed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from croco.artifacts import claims, holdings, locks
from croco.artifacts.store import PLAN, PROGRESS
from croco.errors import UserError
from croco.jobs import outcomes
from croco.jobs.outcomes import DONE, Outcome
from croco.show import tables
from croco.show.progress import Terminal
from croco.show.tables import Table

UNWRAPPED = 10_000  # columns where no terminal asks for fewer: a row is a line
OLD_BEAT = 300.0  # seconds after which a worker elsewhere is not taken to be there
MOST = 12  # single runs and sweeps that are shown, the newest


def overview(root: Path, most: int | None = MOST) -> list[Table]:
    """The tables, those with nothing to say left out."""
    single = list(outcomes.of_single_runs(root))
    sweeps = sorted((root / "sweeps").glob("*/"), key=lambda folder: folder.stat().st_mtime)
    last = slice(-most, None) if most else slice(None)
    made = [
        _runs(single[last], len(single)),
        *(table for folder in sweeps[last] for table in (_sweep(folder, outcomes.of_sweep(folder)), _parts(folder))),
        _stages(root),
        _unfinished(root),
    ]
    return [table for table in made if table.rows]


def _runs(shown: Sequence[Outcome], count: int) -> Table:
    rows = [
        (" ".join(o.overrides) or "(the defaults)", o.started, o.state, o.metric, _report(o), o.failure or "")
        for o in shown
    ]
    note = f"The newest {len(shown)} of {count}; --all shows the rest." if len(shown) < count else ""
    return Table("Runs", ("words", "started", "state", "metric", "report", "failure"), rows, note)


def _report(outcome: Outcome) -> str | None:
    return None if outcome.report is None else Path(outcome.report).name


def _sweep(folder: Path, jobs: list[Outcome]) -> Table:
    done = sum(job.state == DONE for job in jobs)
    rows = [
        (" ".join(job.overrides), job.state, job.metric, _report(job), Path(job.folder).name, job.failure or "")
        for job in jobs
    ]
    title = f"Sweep {folder.name}: {done} of the {len(jobs)} jobs that have begun are done"
    return Table(title, ("words", "state", "metric", "report", "log", "failure"), rows)


def _parts(folder: Path) -> Table:
    """What a queue makes for several jobs (parts.py)."""
    found = [
        (path.parent.name, outcomes.read(path)) for path in sorted(folder.glob(f"{outcomes.PARTS}/*/{outcomes.NAME}"))
    ]
    rows = [(name, one.state, one.started, one.failure or "") for name, one in found]
    return Table(f"Parts of sweep {folder.name} that have begun", ("part", "state", "started", "failure"), rows)


def _sealed(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def _stages(root: Path) -> Table:
    counts: dict[str, list[int]] = {}
    for folder in holdings.folders(root):
        counts.setdefault(folder.parent.name, [0, 0])[not _sealed(folder)] += 1
    return Table("Artifacts", ("stage", "finished", "unfinished"), [(stage, *pair) for stage, pair in counts.items()])


def _unfinished(root: Path) -> Table:
    rows = []
    for folder in holdings.folders(root):
        if not _sealed(folder):
            plan, far = _json(folder / PLAN), _json(folder / PROGRESS)
            config = plan.get("config")
            language = config.get("language", "") if isinstance(config, dict) else ""
            share = _share(far)
            rows.append((folder.parent.name, language, folder.name, share, "being made" if held(folder) else "stopped"))
    return Table(
        "Not finished",
        ("stage", "language", "artifact", "progress", "state"),
        rows,
        "What stopped goes on by the same command.",
    )


def _share(far: dict[str, Any]) -> str:
    try:
        return f"{far['done']:,} of {far['total']:,} {far['unit']}"
    except (KeyError, ValueError, TypeError):  # not begun, or a file of somebody else
        return ""


def _json(path: Path) -> dict[str, Any]:
    """Empty where there is none, or where it went while we looked."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def held(folder: Path) -> bool:
    """Whether a process holds the artifact, or shares its work, as far as can be told without asking for its lock."""
    if claims.at_work(folder / "journal" / "claims", OLD_BEAT):
        return True
    holds = locks.holder(folder)
    if holds is None:  # on another machine: by the clock of the file system
        with suppress(OSError):
            return claims.recent(folder / PROGRESS, OLD_BEAT)
    return bool(holds)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")
    parser.add_argument("--all", action="store_true", help=f"every run and sweep, not the newest {MOST}")


def run(given: argparse.Namespace) -> int:
    """Print the tables.

    Raises:
        UserError: there are no artifacts.
    """
    if not given.artifacts.is_dir():
        raise UserError(f"{given.artifacts}: no such folder; --artifacts names the one of your runs")
    console = Terminal(highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    for table in overview(given.artifacts, None if given.all else MOST):
        shown = tables.fitted(table, console.width)
        console.print(tables.rich_table(shown))
        console.print(shown.note, style="dim", markup=False)
    return 0
