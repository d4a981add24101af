"""An artifact's files: their digests, what is said of damaged ones, and writing them whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from croco.artifacts import refusals
from croco.artifacts.addresses import address as address
from croco.artifacts.addresses import canonical as canonical
from croco.errors import UserError


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_of(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest_of(path)}


def content_of(path: Path) -> dict[str, Any]:
    """What proves that a table is whole: its number of rows, its size, and a digest of the file."""
    return {"rows": pq.ParquetFile(path).metadata.num_rows, **bytes_of(path)}


def as_files(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table}.parquet": known for table, known in tables.items()}


def damaged(file: Path, reason: object) -> UserError:
    """The refusal of a file of a sealed artifact."""
    folder = next((part for part in file.parents if (part / "manifest.json").exists()), file.parent)
    said = " ".join(str(reason).split())[:200]
    return UserError(f"{file}: is damaged ({said}); remove {folder}, and the same command makes it again")


def read_json(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(file, error) from None
    if not isinstance(said, dict):
        raise damaged(file, "no JSON object")
    return said


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path`, which takes its place when the block ends: a reader sees the old
    content or the new, never a part, and what cannot be written whole leaves nothing.

    Raises:
        UserError: a folder lies in the place of the file.
    """
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with refusals.naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            put(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text, see `whole`."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def put(temporary: Path, path: Path) -> None:
    """Raises UserError where a folder lies in the place of the file."""
    try:
        os.replace(temporary, path)
    except IsADirectoryError as error:
        raise refusals.in_the_way(path, error) from None
