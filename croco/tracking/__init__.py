"""W&B runs that mirror what is on disk, or silence. Tracking never stops a run: its failures become one warning line.

A job has a W&B run for each kind of work that a person looks at: the experiment is their group, the stage their job type, so that
curves are compared among `training`, results among `report`. What a job only finds was told by the job that made it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from croco.artifacts import refusals
from croco.config import LoggerConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mirrored:
    """A sealed artifact as W&B keeps it."""

    name: str
    """`<stage>-<address>`: the same content has the same name in every run that makes or uses it."""
    kind: str
    files: Mapping[str, Path]
    """Name inside -> where it lies."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Tracker:
    """Silence; the interface of every tracker."""

    records = False
    """Whether it keeps files of its own."""

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Numbers at a step."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Final values."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table a person reads."""

    def page(self, name: str, file: Path) -> None:
        """An HTML page."""

    def used(self, artifact: Mirrored) -> None:
        """What this work was made of; also when another job made it."""

    def made(self, artifact: Mirrored) -> None:
        """What this work made."""

    def close(self, exit_code: int = 0) -> None:
        """End the run; safe to call twice."""


@dataclass(frozen=True)
class Metrics:
    """How numbers over steps are shown: all over `step`, and of each, what a table of runs says."""

    best: Mapping[str, str] = field(default_factory=dict)
    """Name or glob -> `min`, `max`, `mean`, ...; the last value where nothing is said."""


class Trackers:
    """The W&B runs of one job, each begun when there is something to tell."""

    def __init__(self, config: LoggerConfig, folder: Path, run_id: str, name: str, resolved: Mapping[str, Any]) -> None:
        self.config, self.folder, self.run_id, self.name, self.resolved = config, folder, run_id, name, resolved
        self._open: dict[str, Tracker] = {}
        self._parts: list[Trackers] = []
        self.offline = 0
        """Runs that were recorded offline."""
        self.cut = False
        """Whether there was no room for a record when it ended: W&B writes on and says nothing."""

    def part(self, name: str) -> Trackers:
        """Those of a run inside this one."""
        part = Trackers(self.config, self.folder, f"{self.run_id}-{name}", f"{self.name} ({name})", self.resolved)
        self._parts.append(part)
        return part

    def of(self, job_type: str, metrics: Metrics | None = None) -> Tracker:
        """The run for a kind of work; silence where W&B is not wanted or cannot start."""
        if job_type not in self._open:
            self._open[job_type] = self._begin(job_type, metrics or Metrics())
        return self._open[job_type]

    def end(self, job_type: str) -> None:
        """The work is done."""
        if job_type in self._open:
            self._ended(self._open.pop(job_type), 0)

    def close(self, exit_code: int) -> None:
        """End what is still open: what failed, or was interrupted."""
        for trackers in self._parts:
            trackers.close(exit_code)
            self.offline += trackers.offline
            self.cut |= trackers.cut
            trackers.offline = 0
        while self._open:
            self._ended(self._open.popitem()[1], exit_code)

    def _ended(self, tracker: Tracker, exit_code: int) -> None:
        tracker.close(exit_code)
        if tracker.records and not refusals.takes(self.folder):
            self.cut = True

    @property
    def hint(self) -> str:
        """What a person should know at the end, in one line; nothing when all was sent."""
        if self.cut:
            return (
                f"W&B: {self.folder}: no room to write; its records of this run are cut and not to be sent: remove them and make "
                "room. What is made does not depend on them"
            )
        if not self.offline:
            return ""
        files = self.folder / "wandb" / f"offline-run-*-{self.run_id}-*"
        return f"W&B: {self.offline} runs recorded offline; `wandb sync {files}` sends them"

    def _begin(self, job_type: str, metrics: Metrics) -> Tracker:
        if not self.config.wandb or self.mode == "disabled":
            return Tracker()
        try:
            from croco.tracking.wandb_run import WandbTracker

            tracker = WandbTracker(self, job_type, metrics)
        except Exception as error:
            log.warning("W&B could not start (%s); the run goes on without it", error)
            return Tracker()
        self.offline += self.mode == "offline"
        return tracker

    @property
    def mode(self) -> str:
        """`online` with a key, `offline` without, unless the configuration or the environment says."""
        return self.config.mode or os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")


def silence() -> Trackers:
    """For work that nobody follows."""
    off = LoggerConfig(wandb=False, project="", entity=None, mode="disabled", group=None, tags=[])
    return Trackers(off, Path(), "", "", {})


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError):
        return False
