"""What a tracker is told of one piece of work, as data: made without a tracker, sent in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from croco.tracking import Mirrored, Tracker


@dataclass(frozen=True)
class Shown:
    """A table that a person reads."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Told:
    """Final values, tables, a page, and what was made of what."""

    summary: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Shown] = ()
    page: tuple[str, Path] | None = None
    used: Sequence[Mirrored] = ()
    made: Mirrored | None = None

    def send(self, tracker: Tracker) -> None:
        """Everything, in the order in which a person would ask for it."""
        if self.summary:
            tracker.summary(self.summary)
        for table in self.tables:
            tracker.table(table.title, table.columns, table.rows)
        if self.page is not None:
            tracker.page(*self.page)
        for artifact in self.used:
            tracker.used(artifact)
        if self.made is not None:
            tracker.made(self.made)
