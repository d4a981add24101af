"""Rows of files and of data sets on the hub, each with the place it comes from, for messages to people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.config import PromptsConfig, reach
from croco.errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """One row as it was found."""

    place: str
    """`FILE:LINE`, or the file or data set and the row's number."""
    language: str | None
    """By the name of its file, where a folder has one file per language."""
    row: Row


def read(config: PromptsConfig) -> Iterator[Found]:
    """Every row of `prompts.path`, in order.

    Raises:
        UserError: nothing is there, or something that cannot be read; names file and line, or the key to change.
    """
    return {"jsonl": _from_files, "parquet": _from_files, "hub": _from_hub}[config.source](config)


def files(path: Path, suffix: str) -> list[Path]:
    """A file itself, or the files of a folder.

    Raises:
        UserError: neither is there.
    """
    found = [path] if path.is_file() else sorted(path.glob(f"*.{suffix}"))
    if not found:
        raise UserError(f"prompts.path: {path}: no such file, nor a folder with *.{suffix} files")
    return found


def _from_files(config: PromptsConfig) -> Iterator[Found]:
    path = Path(str(config.path))
    for file in files(path, config.source):
        language = file.stem if path.is_dir() else None
        rows = _jsonl(file) if config.source == "jsonl" else _parquet(file)
        for place, row in rows:
            yield Found(place, language, row)


def _jsonl(file: Path) -> Iterator[tuple[str, Row]]:
    for number, row in records.read_jsonl(file):
        yield f"{file}:{number}", row


def _parquet(file: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as Parquet after row {number} ({_first_line(error)})") from None


def _from_hub(config: PromptsConfig) -> Iterator[Found]:
    reach.missing()
    import datasets

    try:
        data = datasets.load_dataset(config.path, config.name, split=config.hub_split, revision=config.revision)
    except Exception as error:  # of its loaders, its file systems and the network: there is no common class
        raise _refused(config, reach.why(error)) from None
    for number, row in enumerate(data):
        yield Found(f"{config.path}, row {number}", None, row)


def _refused(config: PromptsConfig, reason: str) -> UserError:
    """What a data set's loader said, with the key to change."""
    if "unknown split" in reason.lower():
        return UserError(f"prompts.hub_split: '{config.path}' has no split '{config.hub_split}' ({reason})")
    if "BuilderConfig" in reason or "Config name is missing" in reason:
        return UserError(f"prompts.name: '{config.path}' has no configuration '{config.name}' ({reason})")
    if "gated" in reason.lower():
        return UserError(
            f"prompts.path: '{config.path}' is gated: accept its terms at https://huggingface.co/datasets/{config.path}, "
            "then log in with `hf auth login`, or set HF_TOKEN"
        )
    return UserError(
        f"prompts.path: cannot load '{config.path}' from the hub ({reason}); "
        "a local copy works with prompts=jsonl prompts.path=FILE"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
