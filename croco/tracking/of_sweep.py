"""A sweep's own W&B run: its jobs in a table, and their comparison as a page, attached once however often it is concluded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from croco.config import LoggerConfig
from croco.show.tables import Table
from croco.tracking import Trackers

JOB_TYPE = "sweep"
SENT = "wandb.sha256"
"""In the sweep's folder: of the page that was sent last."""


def tell(
    folder: Path, page: Path, jobs: Table, numbers: Mapping[str, float], logger: LoggerConfig, records: Path
) -> str:
    """Send what is new; returns the line that a person should read, empty where there is none.

    Args:
        page: the comparison; a sweep that compares nothing has none, and a run with its table alone.
        numbers: the run's summary: jobs by state, and each arm's differences with their intervals and their seeds' ends.
        records: where W&B keeps its files.
    """
    digest = hashlib.sha256(page.read_bytes() if page.is_file() else repr(jobs.rows).encode()).hexdigest()
    sent = folder / SENT
    if not logger.wandb or (sent.is_file() and sent.read_text(encoding="utf-8") == digest):
        return ""
    trackers = Trackers(logger, records, folder.name, folder.name, {})
    tracker = trackers.of(JOB_TYPE)
    tracker.summary(numbers)
    tracker.table("jobs", jobs.columns, _texts(jobs.rows))
    if page.is_file():
        tracker.page("comparison", page)
    trackers.close(0)
    if not trackers.cut:
        sent.write_text(digest, encoding="utf-8")
    return trackers.hint


def _texts(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [["" if value is None else value for value in row] for row in rows]
