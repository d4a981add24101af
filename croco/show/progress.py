"""What a person sees while work is done: bars on a terminal, plain lines elsewhere; each with a rate and a remaining time."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from croco.show.pace import Pace
from croco.show.visible import visible

PLAIN_INTERVAL = 5.0  # seconds between plain lines
PLAIN_SHARE = 0.01  # of the time so far, if that is longer
NOTE_INTERVAL = 5.0  # seconds between notes for who asks from another process
PLAIN_WIDTH = 120  # columns where there is no terminal to ask


class Task:
    """One counted piece of work."""

    def __init__(self, progress: Progress, label: str, total: int, unit: str, done: int, longest: int | None) -> None:
        self.progress, self.label, self.total, self.unit, self.done = progress, label, total, unit, done
        self.pace = Pace(total - done, longest)
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
            try:
                temporary.write_text(json.dumps({"done": self.done, "total": self.total, "unit": self.unit}))
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def advance(self, count: int, tokens: int = 0) -> None:
        """`count` more are done; `tokens` is how long they were, where that says more than their number."""
        self.done += count
        self.pace.advance(count, tokens)
        self._tell()

    def written(self, tokens: int) -> None:
        """So many more tokens are there of what is not done yet."""
        self.pace.written(tokens)
        self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._noted >= NOTE_INTERVAL:
            self.note()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, rate=self.rate, left=self.left)
        elif now - self._said >= max(PLAIN_INTERVAL, PLAIN_SHARE * (now - self._started)):
            self._said = now
            self.progress.say(f"  {self.label}: {self.done:,} of {self.total:,} {self.unit}, {self.rate}, {self.left}")

    @property
    def rate(self) -> str:
        if self.pace.tokens:
            return f"{self.pace.tokens:,} tokens, {self.pace.rate:,.0f} tokens/s"
        each = self.pace.each
        return f"{1 / each:,.1f} s/{self.unit.removesuffix('s')}" if 0 < each < 1 else f"{each:,.1f} {self.unit}/s"

    @property
    def left(self) -> str:
        seconds = self.pace.left
        return "no rate yet" if seconds is None else f"{seconds:,.0f} s left"


class Terminal(Console):
    """Rich's, which would end the process without a word where nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        raise  # cli/commandline.py says it in one line


@functools.cache
def shared() -> Console:
    """This process's: what is shown below its lines, a bar or a sweep's table, must know of all of them."""
    return Terminal(highlight=False)


class Progress:
    """Says things and counts work, on a terminal or in a log."""

    def __init__(self, console: Console | None = None, notes: Path | None = None) -> None:
        """`notes` is a file in which tasks keep what is done of how much."""
        self.notes = notes
        self.console = console or shared()
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, PLAIN_WIDTH)

    def say(self, text: str) -> None:
        """One line, with no markup interpreted, no wrapping, and no sign that acts on the terminal."""
        self.console.print(visible(text, lines=True), markup=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0, longest: int | None = None) -> Iterator[Task]:
        """Count `total` things; `done` of them were there before, and one has at most `longest` tokens."""
        task = Task(self, label, total, unit, done, longest)
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
            TextColumn("{task.fields[left]}"),
        )
        with RichProgress(*columns, console=self.console, transient=True) as bar:
            bar.add_task(label, total=total, completed=done, rate="", left="")
            task._bar = bar
            yield
