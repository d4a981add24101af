"""One W&B run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.show.visible import visible
from croco.tracking import Metrics, Mirrored, Tracker

if TYPE_CHECKING:
    from croco.tracking import Trackers

log = logging.getLogger(__name__)
STARTING_SECONDS = 30
ENDING_SECONDS = 120
COPIED_AT_MOST = 256 * 2**20  # bytes of an artifact; a larger one is named by where it lies


class WandbTracker(Tracker):
    """Mirrors one kind of a job's work; offline without a key."""

    records = True

    def __init__(self, job: Trackers, job_type: str, metrics: Metrics) -> None:
        import wandb

        self._wandb = wandb
        job.folder.mkdir(parents=True, exist_ok=True)
        # Offline artifacts are staged outside the run's folder unless told otherwise; a later sync would miss them.
        os.environ.setdefault("WANDB_DATA_DIR", str(job.folder))
        os.environ.setdefault("WANDB_CACHE_DIR", str(job.folder / "cache"))
        os.environ.setdefault("WANDB_SILENT", "true")
        mode: Any = job.mode
        self._offline = mode == "offline"
        with _own_log_may_fail():
            self._run: Any = wandb.init(
                project=job.config.project,
                entity=job.config.entity,
                group=job.config.group,
                job_type=job_type,
                tags=list(job.config.tags),
                mode=mode,
                dir=str(job.folder),
                id=f"{job.run_id}-{job_type}",
                name=f"{job.name} {job_type}",
                resume="allow",
                reinit="create_new",
                config=dict(job.resolved),
                settings=wandb.Settings(
                    console="off",
                    init_timeout=STARTING_SECONDS,
                    finish_timeout=ENDING_SECONDS,
                    finish_timeout_raises=False,
                ),
            )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        for name, kind in metrics.best.items():
            self._run.define_metric(name, step_metric="step", summary=kind)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._try("log", lambda run: run.log({**({} if step is None else {"step": step}), **values}, step=step))

    def summary(self, values: Mapping[str, Any]) -> None:
        self._try("summary", lambda run: run.summary.update(dict(values)))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        def send(run: Any) -> None:
            # A column of numbers with gaps or signs in it is shown, not computed with.
            run.log(
                {
                    name: self._wandb.Table(
                        columns=list(columns), data=[[_shown(v) for v in r] for r in rows], allow_mixed_types=True
                    )
                }
            )

        self._try("table", send)

    def page(self, name: str, file: Path) -> None:
        self._try("page", lambda run: run.log({name: self._wandb.Html(file.read_text(encoding="utf-8"), inject=False)}))

    def used(self, artifact: Mirrored) -> None:
        # Given by content, not by name: it joins with what another run logged, also one that is sent later. Offline,
        # `use_artifact` refuses even that, although the record of it is the same.
        def send(run: Any) -> None:
            made = self._artifact(artifact)
            if self._offline:
                run._log_artifact(made, is_user_created=True, use_after_commit=True)
            else:
                run.use_artifact(made)

        self._try("use_artifact", send)

    def made(self, artifact: Mirrored) -> None:
        self._try("log_artifact", lambda run: run.log_artifact(self._artifact(artifact)))

    def _artifact(self, artifact: Mirrored) -> Any:
        made = self._wandb.Artifact(artifact.name, artifact.kind, metadata=dict(artifact.metadata))
        large = sum(file.stat().st_size for file in artifact.files.values()) > COPIED_AT_MOST
        for name, file in artifact.files.items():
            if large:
                made.add_reference(file.resolve().as_uri(), name, checksum=False)
            else:
                made.add_file(str(file), name, policy="immutable")  # sealed: it is sent from where it lies
        return made

    def close(self, exit_code: int = 0) -> None:
        self._try("finish", lambda run: run.finish(exit_code=exit_code))
        self._run = None

    def _try(self, what: str, send: Callable[[Any], Any]) -> None:
        if self._run is None:
            return
        try:
            with _own_log_may_fail():
                send(self._run)
        except Exception as error:
            log.warning("W&B: %s failed (%s); the run goes on, its record is on disk", what, error)


@contextmanager
def _own_log_may_fail() -> Iterator[None]:
    """Within it, a line of W&B's own log for which there is no room is no traceback on the terminal."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _shown(value: Any) -> Any:
    return visible(value, lines=True) if isinstance(value, str) else value
