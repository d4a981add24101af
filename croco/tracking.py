"""A W&B run that mirrors what is on disk, or silence. Tracking never stops a run: its failures become one warning line."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from croco.config import LoggerConfig

log = logging.getLogger(__name__)


class Tracker:
    """Silence; the interface of every tracker."""

    hint: str = ""
    """What a person should know at the end, in one line."""

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Numbers at a step."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Final values of the run."""

    def close(self, exit_code: int = 0) -> None:
        """End the run; safe to call twice."""


class Deferred(Tracker):
    """Starts the real tracker when there is something to tell: a run that only finds what is there leaves no trace."""

    def __init__(self, begin: Callable[[], Tracker]) -> None:
        self._begin = begin
        self._real: Tracker | None = None

    def _tracker(self) -> Tracker:
        if self._real is None:
            self._real = self._begin()
        return self._real

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._tracker().log(values, step)

    def summary(self, values: Mapping[str, Any]) -> None:
        self._tracker().summary(values)

    def close(self, exit_code: int = 0) -> None:
        if self._real is not None:
            self._real.close(exit_code)
            self.hint = self._real.hint


class WandbTracker(Tracker):
    """One W&B run; offline without a key."""

    def __init__(self, config: LoggerConfig, folder: Path, run_id: str, name: str, resolved: Mapping[str, Any]) -> None:
        import wandb

        mode: Any = config.mode or os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
        folder.mkdir(parents=True, exist_ok=True)
        # Offline artifacts are staged outside the run's folder unless told otherwise; a later sync would miss them.
        os.environ.setdefault("WANDB_DATA_DIR", str(folder))
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "cache"))
        os.environ.setdefault("WANDB_SILENT", "true")
        self._run: Any = wandb.init(
            project=config.project,
            entity=config.entity,
            group=config.group,
            tags=list(config.tags),
            mode=mode,
            dir=str(folder),
            id=run_id,
            name=name,
            resume="allow",
            config=dict(resolved),
            settings=wandb.Settings(console="off", init_timeout=30),
        )
        if mode == "offline":
            self.hint = f"W&B: recorded offline; `wandb sync {Path(self._run.dir).parent}` sends it"

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._try("log", dict(values), step=step)

    def summary(self, values: Mapping[str, Any]) -> None:
        if self._run is not None:
            self._run.summary.update(dict(values))

    def close(self, exit_code: int = 0) -> None:
        self._try("finish", exit_code=exit_code)
        self._run = None

    def _try(self, method: str, *arguments: Any, **keywords: Any) -> None:
        if self._run is None:
            return
        try:
            getattr(self._run, method)(*arguments, **keywords)
        except Exception as error:
            log.warning("W&B: %s failed (%s); the run goes on, its record is on disk", method, error)


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def start(config: LoggerConfig, folder: Path, run_id: str, name: str, resolved: Mapping[str, Any]) -> Tracker:
    """The tracker the configuration asks for; silence, with a warning in the log, where W&B cannot start."""
    if not config.wandb or config.mode == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
        return Tracker()
    try:
        return WandbTracker(config, folder, run_id, name, resolved)
    except Exception as error:
        log.warning("W&B could not start (%s); the run goes on without it", error)
        return Tracker()
