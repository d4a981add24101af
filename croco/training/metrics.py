"""metrics.jsonl: one line per optimiser step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "metrics.jsonl"

Row = dict[str, Any]


class Record:
    """Appends lines; a resumed run goes on behind the step it resumes from."""

    def __init__(self, folder: Path, first: int) -> None:
        self.path = folder / NAME
        self.rows = [row for row in read(folder) if row["step"] < first]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def __call__(self, row: Row) -> None:
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def go_on(folder: Path, before: Path | None) -> None:
    """Put the lines of the round before first, unless they are there."""
    if before is not None and not (folder / NAME).is_file():
        (folder / NAME).write_text((before / NAME).read_text(encoding="utf-8"), encoding="utf-8")


def read(folder: Path) -> list[Row]:
    """The complete lines; none where there is no file."""
    path = folder / NAME
    if not path.is_file():
        return []
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
