"""`croco clean`: what artifacts cost, what depends on them, what could be made again; removal by age, sweep or reachability.

Runs that stay keep all they stand on. While a run is at work in the folder nothing is removed: what it will need next, no
report names yet.
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import filelock

from croco.artifacts import holdings, locks, processes
from croco.artifacts.holdings import REPORT, Holding
from croco.artifacts.store import PROGRESS
from croco.errors import UserError
from croco.jobs import origins, outcomes, overview
from croco.show import tables
from croco.show.tables import Table

MOST = 30
DAY = 86_400.0
UNITS = {"h": 3_600.0, "d": DAY, "w": 7 * DAY}
NAMED = re.compile(r"\.(?P<host>[^.]+(?:\.[^.]+)*)\.(?P<pid>\d+)\.tmp$")
"""A temporary file with who writes it (artifacts/files.py)."""
SCALES = ("B", "KB", "MB", "GB", "TB")


def _age(text: str) -> float:
    """Seconds of `36h`, `30d`, `2w`."""
    if not re.fullmatch(r"\d+[hdw]", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no age; say 36h, 30d or 2w")
    return int(text[:-1]) * UNITS[text[-1]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument("--artifacts", type=Path, default=Path("runs"), help="where runs keep theirs (runs)")
    parser.add_argument(
        "--older-than", type=_age, metavar="AGE", help="runs made before (36h, 30d, 2w), and what only they need"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sweep", metavar="NAME", help="a sweep's runs, and what no other run needs")
    which.add_argument("--unreachable", action="store_true", help="what no report stands on, unfinished artifacts too")
    parser.add_argument("--yes", action="store_true", help="remove; without it nothing is touched")
    parser.add_argument("--all", action="store_true", help=f"every artifact, not the largest {MOST}")


def run(given: argparse.Namespace) -> int:
    """Say what would go, or remove it.

    Raises:
        UserError: no such folder or sweep, or a run is at work while something is to be removed.
    """
    root: Path = given.artifacts
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --artifacts names the one of your runs")
    held = holdings.found(root)
    asked = bool(given.older_than or given.sweep or given.unreachable)
    chosen = _chosen(root, held, given) if asked else set(held)
    left = [] if given.yes and at_work(root) else list(leftovers(root))
    print(tables.text([_table(held, chosen, None if given.all else MOST, asked)], tables.terminal()), end="")
    if left:
        print(f"left over from processes that are gone: {len(left)} temporary files, locks and notes of progress")
    if not given.yes:
        print("nothing was removed; --yes removes" if asked or left else "nothing was removed")
        return 0
    if running := at_work(root):
        raise UserError(f"{root}: {running} is at work; nothing was removed, come again when it has ended")
    _remove_files(left)
    size = _remove(root, [held[address] for address in chosen]) if asked else 0
    what = f"{len(chosen):,} artifacts, {scaled(size)}, and " if asked else ""
    print(f"removed: {what}{len(left)} left-over files")
    return 0


def _chosen(root: Path, held: Mapping[str, Holding], given: argparse.Namespace) -> set[str]:
    """Addresses of what is to go."""
    reports = {address for address, one in held.items() if one.artifact.stage == REPORT and one.sealed}
    old = {address for address, one in held.items() if not given.older_than or holdings.older(one, given.older_than)}
    if given.unreachable:
        going = set(held) - holdings.below(held, reports)
    elif given.sweep:
        going = holdings.below(held, reports & old & _of_sweep(root, held, given.sweep))
    else:
        going = set(held)
    return (going & old) - holdings.below(held, set(held) - (going & old))


def _of_sweep(root: Path, held: Mapping[str, Holding], name: str) -> set[str]:
    """Addresses of the reports of a sweep's jobs."""
    folder = root / "sweeps" / name
    if not folder.is_dir():
        there = sorted(path.name for path in (root / "sweeps").glob("*/"))
        raise UserError(f"--sweep {name}: no such sweep below {root / 'sweeps'}; there is {', '.join(there) or 'none'}")
    names = {Path(one.report).name for one in outcomes.of_sweep(folder) if one.report}
    return {address for address, one in held.items() if one.artifact.stage == REPORT and one.path.name in names}


def _table(held: Mapping[str, Holding], chosen: set[str], most: int | None, asked: bool) -> Table:
    """The largest first."""
    reports = [address for address, one in held.items() if one.artifact.stage == REPORT and one.sealed]
    adapters = holdings.adapters_of(held)
    needed = Counter(one for report in reports for one in holdings.below(held, [report], adapters) - {report})
    standing = Counter(address for one in held.values() for address in set(one.artifact.upstream.values()))
    here = origins.Here()
    rows = [
        (
            f"{one.artifact.stage}/{one.path.name}",
            scaled(one.size),
            duration(one.seconds),
            needed[address],
            standing[address],
            here.again(held, address) if one.sealed else "goes on by the same command",
        )
        for address, one in sorted(held.items(), key=lambda item: -item[1].size)
        if address in chosen
    ]
    size = scaled(sum(held[address].size for address in chosen))
    title = f"{'To remove' if asked else 'Artifacts'}: {len(rows):,} of {len(held):,}, {size}"
    note = f"The largest {most} of {len(rows):,}; --all shows the rest." if most and len(rows) > most else ""
    columns = ("artifact", "size", "made in", "reports", "direct", "again?")
    note = f"{note} reports: that need it; direct: artifacts made from it; again: whether it could be made again here."
    return Table(title, columns, rows[:most], note.strip())


def scaled(size: float) -> str:
    """Bytes as a person says them."""
    for scale in SCALES:
        if size < 1000 or scale == SCALES[-1]:
            break
        size /= 1000
    return f"{size:.0f} {scale}" if scale == "B" else f"{size:.1f} {scale}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def at_work(root: Path) -> str:
    """A run or an artifact whose process is there, or elsewhere and heard of within a day; empty when nothing is."""
    logs = (*(root / "logs").glob("*/"), *(root / "sweeps").glob("*/*/"))
    for folder in logs:
        if not (folder / outcomes.NAME).is_file():
            continue
        outcome = outcomes.read(folder / outcomes.NAME)
        if outcome.state == outcomes.RUNNING:
            heard = max(file.stat().st_mtime for file in folder.iterdir())
            if processes.there(outcome.process) or time.time() - heard < DAY:
                return f"the run of {folder}"
    return next((str(folder) for folder in holdings.folders(root) if overview.held(folder)), "")


def leftovers(root: Path) -> Iterator[Path]:
    """Temporary files, locks and notes of progress that no process that is there will take up again."""
    for file in root.rglob("*"):
        if "wandb" in file.relative_to(root).parts[:1] or file.is_symlink() or not file.is_file():
            continue
        if (file.suffix == ".tmp" and _dead(file)) or (file.name in (".lock", locks.HOLDER, PROGRESS) and _free(file)):
            yield file


def _free(file: Path) -> bool:
    """Whether nobody is at what a lock or a note of progress is of; elsewhere, after a day."""
    gone = locks.holder(file.parent) is False or time.time() - file.stat().st_mtime > DAY
    return gone and not overview.held(file.parent)


def _dead(file: Path) -> bool:
    """Whether a temporary file's writer is gone; of one elsewhere, or without a name, after a day."""
    named = NAMED.search(file.name)
    if named and named["host"] == socket.gethostname():
        return processes.start_of(int(named["pid"])) is None
    return time.time() - file.stat().st_mtime > DAY


def _remove_files(files: list[Path]) -> None:
    """A lock is removed by who holds it, so that nobody waits for one that is gone."""
    for file in files:
        if file.name != ".lock":
            file.unlink(missing_ok=True)
            continue
        with suppress(filelock.Timeout, OSError), filelock.FileLock(file, timeout=0):
            file.unlink(missing_ok=True)


def _remove(root: Path, going: list[Holding]) -> int:
    """What stands on others first, so that what a broken-off removal leaves is whole; returns the bytes. A report takes the
    cards and files for the hub with it; logs and a sweep's tables stay."""
    order = {one.artifact.address: one for one in going}
    size = 0
    while order:
        below = {address for one in order.values() for address in one.artifact.upstream.values()}
        free = [address for address in order if address not in below] or list(order)
        for address in free:
            one = order.pop(address)
            (one.path / "manifest.json").unlink(missing_ok=True)  # first: half an artifact is none
            shutil.rmtree(one.path)
            if one.artifact.stage == REPORT:
                shutil.rmtree(root / "hub" / one.path.name, ignore_errors=True)
            size += one.size
    return size
