"""What a person sees while work is done: bars on a terminal, plain lines elsewhere; each with a rate and a remaining time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

PLAIN_INTERVAL = 15.0  # seconds between plain lines
NOTE_INTERVAL = 5.0  # seconds between notes for who asks from another process
PLAIN_WIDTH = 120  # columns where there is no terminal to ask


class Task:
    """One counted piece of work."""

    def __init__(self, progress: Progress, label: str, total: int, unit: str, done: int) -> None:
        self.progress, self.label, self.total, self.unit = progress, label, total, unit
        self.done, self.tokens = done, 0
        self._at_start = done
        self._started = self._said = time.monotonic()
        self._bar: RichProgress | None = None
        self._noted = 0.0

    def note(self) -> None:
        """Write down how far it is, where somebody wants to know; a full disk is told by those whose rows it takes."""
        path, self._noted = self.progress.notes, time.monotonic()
        if path is None:
            return
        with suppress(OSError):
            temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps({"done": self.done, "total": self.total, "unit": self.unit}))
            os.replace(temporary, path)

    def advance(self, count: int, tokens: int = 0) -> None:
        """`count` more are done; `tokens` is how long they were, where that says more than their number."""
        self.done += count
        self.tokens += tokens
        if time.monotonic() - self._noted >= NOTE_INTERVAL:
            self.note()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, rate=self.rate)
        elif time.monotonic() - self._said >= PLAIN_INTERVAL:
            self._said = time.monotonic()
            self.progress.say(self._line())

    @property
    def rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        tokens = f", {self.tokens / seconds:,.0f} tokens/s" if self.tokens else ""
        each = (self.done - self._at_start) / seconds
        slow = 0 < each < 1
        speed = f"{1 / each:,.1f} s/{self.unit.removesuffix('s')}" if slow else f"{each:,.1f} {self.unit}/s"
        return speed + tokens

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        made = self.done - self._at_start
        left = f"{(self.total - self.done) * seconds / made:,.0f} s left" if made else "no rate yet"
        return f"  {self.label}: {self.done:,} of {self.total:,} {self.unit}, {self.rate}, {left}"


class Progress:
    """Says things and counts work, on a terminal or in a log."""

    def __init__(self, console: Console | None = None, notes: Path | None = None) -> None:
        """`notes` is a file in which tasks keep what is done of how much."""
        self.notes = notes
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, PLAIN_WIDTH)

    def say(self, text: str) -> None:
        """One line, with no markup interpreted and no wrapping."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
        """Count `total` things; `done` of them were there before."""
        task = Task(self, label, total, unit, done)
        task.note()
        try:
            with self._shown(task, label, total, done):
                yield task
        finally:
            task.note()

    @contextmanager
    def _shown(self, task: Task, label: str, total: int, done: int) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self.console, transient=True) as bar:
            bar.add_task(label, total=total, completed=done, rate="")
            task._bar = bar
            yield
