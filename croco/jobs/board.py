"""A sweep's jobs as a table that stands below what they say, on a terminal; elsewhere their lines are enough."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

from rich.console import RenderableType
from rich.live import Live

from croco.show.progress import shared
from croco.show.tables import Table, fitted, rich_table

IN_PLACE = ("BasicLauncher", "submitit")
"""Launchers whose jobs write to no terminal but through this process."""
LINES = 8  # of the terminal that stay for what the jobs say


class Board:
    """Asks for the table anew every second."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table
        self._live: Live | None = None

    def show(self, launcher: str) -> None:
        """From now on, where there is a terminal and the launcher's jobs leave it alone."""
        if not sys.stdout.isatty() or not any(name in launcher for name in IN_PLACE):
            return
        self._live = Live(get_renderable=self._drawn, console=shared(), refresh_per_second=1, transient=True)
        self._live.start()
        atexit.register(self.hide)

    def _drawn(self) -> RenderableType:
        made = fitted(self._table(), shared().width)
        room = max(shared().height - LINES, 1)
        return rich_table(Table(made.title, made.columns, list(made.rows)[-room:], digits=made.digits))

    def hide(self) -> None:
        """No more; safe to call twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None
