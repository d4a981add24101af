"""What became of a job, in its log folder: `outcome.json`, for the sweep's table and for `croco.status`."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from croco.artifacts import processes
from croco.artifacts.files import write_atomically
from croco.errors import UserError
from croco.show import secrets

log = logging.getLogger(__name__)
NAME = "outcome.json"
PARTS = ".parts"
"""Of a sweep's folder: where its parts in a queue (parts.py) keep their logs and what became of them."""
RUNNING, DONE, FAILED, INTERRUPTED, LOST = "running", "done", "failed", "interrupted", "lost"


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass
class Outcome:
    """One job, from its start on."""

    folder: str
    """Its log folder."""
    overrides: list[str]
    """The words that made it what it is."""
    number: int | None = None
    """Its place in the sweep; None outside one."""
    state: str = RUNNING
    metric: float | None = None
    report: str | None = None
    """Folder of its report."""
    failure: str | None = None
    """Why it failed, in one line."""
    trace: str | None = None
    """The traceback of a defect, or of a function of the user's own; bad input has none."""
    started: str = field(default_factory=now)
    ended: str | None = None
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    process: str = field(default_factory=processes.name)
    """Told from all that ever had its pid."""

    def done(self, metric: float | None, report: Path) -> None:
        self._end(DONE, metric=metric, report=str(report))

    def left(self) -> None:
        """A worker beside the first that has shared what there was."""
        self._end(DONE)

    def failed(self, error: BaseException) -> None:
        first = (str(error).strip() or "no message").splitlines()[0]
        if isinstance(error, UserError):
            own = error.__cause__  # of a function of the user's own
            self._end(FAILED, failure=first, trace=own and "".join(traceback.format_exception(own)))
        else:
            trace = "".join(traceback.format_exception(error))
            self._end(FAILED, failure=f"{type(error).__name__}: {first}", trace=trace)

    def interrupted(self) -> None:
        self._end(INTERRUPTED)

    def _end(self, state: str, **said: Any) -> None:
        self.state, self.ended = state, now()
        for name, value in said.items():
            setattr(self, name, value)
        self.write()

    def write(self) -> None:
        """Keep it; where that cannot be done the job's own error is the one to tell."""
        file, said = Path(self.folder) / NAME, json.dumps(secrets.clean(asdict(self)), indent=1) + "\n"
        try:
            write_atomically(file, said)
        except OSError as error:
            log.warning("%s was not written: %s", NAME, error)
            with (
                suppress(OSError),
                file.open("r+", encoding="utf-8") as there,
            ):  # a full disk has room where the old one stands
                there.write(said)
                there.truncate()


FIELDS = {one.name for one in fields(Outcome)}


def begin(folder: Path, overrides: list[str], number: int | None) -> Outcome:
    """A job that starts now."""
    outcome = Outcome(str(folder), overrides, number)
    outcome.write()
    return outcome


def read(path: Path) -> Outcome:
    """What a file says; a job that says it runs, on this machine, in a process that is gone, is lost."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        outcome = Outcome(**{name: said[name] for name in said if name in FIELDS})
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return Outcome(str(path.parent), [], state=FAILED, failure=f"{path} cannot be read ({type(error).__name__})")
    outcome.folder = str(path.parent)
    if outcome.state == RUNNING and processes.there(outcome.process) is False:
        outcome.state = LOST
        outcome.failure = "its process ended without a word (killed, or out of memory)"
    return outcome


def of_sweep(folder: Path) -> list[Outcome]:
    """Of a sweep's jobs, in its order."""
    return sorted((read(path) for path in folder.glob(f"*/{NAME}")), key=lambda o: (o.number or 0, o.folder))


def of_single_runs(root: Path) -> Iterator[Outcome]:
    """Of the runs outside sweeps, in the order of their start."""
    return (read(path) for path in sorted((root / "logs").glob(f"*/{NAME}")))
