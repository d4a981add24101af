"""Rows on their way into an artifact: one file per writer, appended and synced as they come, whole lines only."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from croco.artifacts import records, refusals


class Journal:
    """An append-only JSONL file that survives a kill: a torn last line is cut off when it is opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._repair()
        self._file = path.open("ab", buffering=0)

    def _repair(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            tail = b""
            while end > 0 and b"\n" not in tail:
                step = min(end, 1 << 16)
                end -= step
                file.seek(end)
                tail = file.read(step) + tail
            file.truncate(end + tail.rfind(b"\n") + 1)

    def append(self, rows: Iterable[Any]) -> None:
        """Write rows (dataclasses of `records`) and wait until the disk has them; all of them, or none when it is full."""
        lines = [json.dumps(records.as_dict(row), ensure_ascii=False, allow_nan=False) for row in rows]
        left = memoryview("".join(line + "\n" for line in lines).encode())
        before = os.fstat(self._file.fileno()).st_size
        try:
            with refusals.naming(self.path):
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise

    def close(self) -> None:
        self._file.close()


def complete_lines(files: Iterable[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """(file, byte offset, row) of every complete line."""
    for path in files:
        with path.open("rb") as lines:
            offset = 0
            for line in lines:
                if line.endswith(b"\n") and (row := _row(line)) is not None:
                    yield path, offset, row
                offset += len(line)


def in_order(files: Sequence[Path], order: Callable[[dict[str, Any]], Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(file, row), sorted by `order`, the first of equal rows alone. Memory holds a key and an offset per row, never the rows."""
    index = sorted(
        ((order(row), path, offset) for path, offset, row in complete_lines(files)), key=lambda entry: entry[0]
    )
    with contextlib.ExitStack() as stack:
        opened = {path: stack.enter_context(path.open("rb")) for path in {path for _, path, _ in index}}
        for _, same in itertools.groupby(index, key=lambda entry: entry[0]):
            _, path, offset = next(same)
            opened[path].seek(offset)
            yield path, json.loads(opened[path].readline())


def _row(line: bytes) -> dict[str, Any] | None:
    """None of what is no row, as a disk may leave it that lost its power: the row is made again."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
