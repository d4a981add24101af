"""metrics.jsonl: one line per optimiser step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from croco.artifacts import refusals
from croco.artifacts.files import write_atomically
from croco.errors import UserError

NAME = "metrics.jsonl"

Row = dict[str, Any]


class Record:
    """Appends lines; a resumed run goes on behind the step it resumes from."""

    def __init__(self, folder: Path, first: int) -> None:
        self.path = folder / NAME
        self.rows = [row for row in read(folder) if row["step"] < first]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def __call__(self, row: Row) -> None:
        self.rows.append(row)
        with refusals.naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def go_on(folder: Path, before: Path | None) -> None:
    """Put the lines of the round before first, unless they are there."""
    if before is not None and not (folder / NAME).is_file():
        write_atomically(folder / NAME, (before / NAME).read_text(encoding="utf-8"))


def read(folder: Path) -> list[Row]:
    """The complete lines; none where there is no file.

    Raises:
        UserError: a line is none; names it.
    """
    path = folder / NAME
    if not path.is_file():
        return []
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                try:
                    row = json.loads(line)
                    rows.append({**row, "step": int(row["step"])})
                except (ValueError, TypeError, KeyError):
                    raise UserError(
                        f"{path}:{number}: is damaged; remove this line, and the same command goes on without its figures"
                    ) from None
    return rows
