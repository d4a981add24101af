"""Rows of files and of data sets on the hub, each with the place it comes from, for messages to people.

The one reader of what other people bring: JSON lines (also a JSON list) plain, `.gz` or `.zst`; Parquet; Arrow, as `datasets`
saves it to disk or as a file. Of many rows a few may be broken: those are counted with their place, and more than MOST_UNREAD of
all stop the reading (`readable`). Where each row counts, as in what others measured, the first broken one does (`each`).
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from croco.artifacts import records
from croco.errors import UserError

Row = dict[str, Any]
Made = TypeVar("Made")
LINES, TABLES = (".jsonl", ".json", ".ndjson"), (".parquet", ".arrow", ".feather")
LINES_ALONE = (".jsonl", ".ndjson")  # a file of another name may be a list
PACKED = {".gz": "gzip", ".zst": "zstd"}
BESIDE = ("dataset_info.json", "state.json", "manifest.json", "dataset_infos.json")
"""What lies in folders beside data."""
MOST_UNREAD = 0.01
SHOWN = 3  # rows that cannot be read and are named one by one


@dataclass(frozen=True)
class Found:
    """One row as it was found."""

    place: str
    """`FILE:LINE`, or the file or data set and the row's number."""
    names: tuple[str, ...]
    """What may say its language: the names of its file and folder, or of the data set's configuration."""
    row: Row | UserError
    """Or why it cannot be read."""


class LeftOut(Exception):
    """A row that is read and not wanted: str() is the reason it is counted under."""


def readable(rows: Iterable[Found], parse: Callable[[Found], Made], counts: Counter[str]) -> Iterator[Made]:
    """What `parse` makes of each row; rows that are left out, or cannot be read, are counted by reason.

    Raises:
        UserError: more than MOST_UNREAD of the rows cannot be read; says what is wrong with the first, and how many there are.
    """
    total, refused = 0, 0
    said: list[str] = []
    for found in rows:
        total += 1
        try:
            if isinstance(found.row, UserError):
                raise found.row
            made = parse(found)
        except LeftOut as left:
            counts[str(left)] += 1
            continue
        except UserError as error:
            refused += 1
            said += [str(error)] if len(said) < SHOWN else []
            continue
        yield made
    if refused > MOST_UNREAD * total:
        raise UserError(said[0] + (f" (one of {refused:,} such rows of {total:,})" if refused > 1 else ""))
    counts.update(f"cannot be read ({line})" for line in said)
    if refused > len(said):
        counts["cannot be read"] += refused - len(said)


def kind_of(file: Path) -> str | None:
    """The ending that says how a file is read, without that of its packing; None where it is no file of rows."""
    inner = Path(file.stem).suffix if file.suffix in PACKED else file.suffix
    return inner if inner in LINES or (inner in TABLES and file.suffix not in PACKED) else None


def name_of(file: Path) -> str:
    """A file's name without its endings."""
    return Path(file.stem).stem if file.suffix in PACKED else file.stem


def files(path: Path, key: str) -> list[Path]:
    """A file itself, or the files of a folder and its subfolders.

    Raises:
        UserError: none is there.
    """
    if path.is_file() and kind_of(path) is not None:
        return [path]
    found = sorted(p for p in path.rglob("*") if p.is_file() and kind_of(p) is not None and p.name not in BESIDE)
    if not found:
        endings = ", ".join((*LINES, *TABLES))
        raise UserError(f"{key}: {path}: neither a file of rows ({endings}; .gz and .zst) nor a folder with such files")
    return found


def digests(path: Path, key: str) -> dict[str, str]:
    """Name -> content of each file, for addresses."""
    found = files(path, key)
    below = path if path.is_dir() else path.parent
    return {str(file.relative_to(below)): digest(file) for file in found}


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def of_files(path: Path, key: str) -> Iterator[Found]:
    """Every row of a file or of a folder's files, in order."""
    for file in files(path, key):
        names = (name_of(file), file.parent.name) if path.is_dir() else (name_of(file),)
        for place, row in of_file(file):
            yield Found(place, names, row)


def of_file(file: Path) -> Iterator[tuple[str, Row | UserError]]:
    """(place, row) of one file.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    if kind_of(file) in TABLES:
        return _of_table(file)
    return _of_lines(file)


def each(file: Path, not_a_number: bool = False) -> Iterator[tuple[str, Row]]:
    """(place, row) of one file, whatever its name ends in; no row may be broken.

    Args:
        not_a_number: as in `records.read_jsonl`.

    Raises:
        UserError: no such file, or something in it that cannot be read.
    """
    read = _of_table(file) if kind_of(file) in TABLES else _of_lines(file, not_a_number)
    for place, row in read:
        if isinstance(row, UserError):
            raise row
        yield place, row


def _of_lines(file: Path, not_a_number: bool = False) -> Iterator[tuple[str, Row | UserError]]:
    packed = PACKED.get(file.suffix)
    if kind_of(file) not in LINES_ALONE and file.is_file() and (listed := _list(file, packed)) is not None:
        for number, row in enumerate(listed, start=1):
            place = f"{file}, row {number}"
            yield place, row if isinstance(row, dict) else UserError(f"{place}: expected an object")
        return
    refused: list[tuple[int, UserError]] = []
    for number, row in records.read_jsonl(file, not_a_number, packed, refused):
        yield from ((f"{file}:{line}", error) for line, error in refused)
        refused.clear()
        yield f"{file}:{number}", row
    yield from ((f"{file}:{line}", error) for line, error in refused)


def _list(file: Path, packed: str | None) -> list[Any] | None:
    """The rows of a file that is one JSON list; None of another."""
    try:
        with records.opened(file, packed) as content:
            if not content.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
                return None
        with records.opened(file, packed) as content:
            found: list[Any] = json.loads(content.read().decode("utf-8-sig"))
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as a JSON list ({first_line(error)})") from None
    return found


def _of_table(file: Path) -> Iterator[tuple[str, Row | UserError]]:
    import pyarrow as pa

    number = 0
    try:
        for batch in _batches(file):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "Parquet" if file.suffix == ".parquet" else "Arrow"
        raise UserError(f"{file}: cannot be read as {kind} after row {number} ({first_line(error)})") from None


def _batches(file: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix == ".parquet":
        yield from pq.ParquetFile(file).iter_batches(batch_size=4096)
        return
    with pa.memory_map(str(file)) as source:
        try:
            reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid:  # a stream, which is what `datasets` writes
            source.seek(0)
            yield from pa.ipc.open_stream(source)
            return
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_hub_id(path: str) -> bool:
    """Whether a path names a data set on the hub, no file or folder here."""
    return not Path(path).exists() and not path.startswith((".", "/", "~")) and path.count("/") == 1


def as_json(value: Any) -> Any:
    """A value that some tools keep as the JSON text of it."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
