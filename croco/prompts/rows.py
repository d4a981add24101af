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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from croco.artifacts import records
from croco.config import languages, reach
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


@dataclass(frozen=True)
class Asked:
    """A data set on the hub, as it is asked for."""

    path: str
    name: str | None = None
    """Of a configuration; None: see `configurations`."""
    split: str = "train"
    revision: str | None = None


def configurations(asked: Asked, wanted: Sequence[str], key: str) -> list[str]:
    """The configurations of a data set that are read: the named one; else those that are called like a wanted language, where
    any is called like a language; else the only one, or that named `default`.

    Raises:
        UserError: the data set cannot be had, or has several and none of these.
    """
    if asked.name is not None:
        return [asked.name]
    there = _names(asked, key)
    if len(there) == 1:
        return there
    called = {name: code for name in there if (code := languages.of_word(name)) is not None}
    some = [name for name, code in called.items() if code in wanted]
    if some or "default" in there:
        return some or ["default"]
    if called:
        raise UserError(f"{key}: '{asked.path}' has no configuration in {', '.join(wanted)}, only {', '.join(there)}")
    raise UserError(f"{_beside(key)}.name: '{asked.path}' has several configurations; name one of {', '.join(there)}")


def _names(asked: Asked, key: str) -> list[str]:
    """Of all configurations; without a network, of those that are in the cache."""
    missing = reach.missing()
    import datasets

    if missing is not None and (cached := _cached(asked)):
        return sorted(cached)
    try:
        return list(datasets.get_dataset_config_names(asked.path, revision=asked.revision))
    except Exception as error:  # of its loaders, its file systems and the network: there is no common class
        raise _refused(asked, key, reach.why(error)) from None


def of_hub(asked: Asked, wanted: Sequence[str], key: str) -> Iterator[Found]:
    """Every row of a split of a data set on the hub, of each of its configurations that is read.

    Raises:
        UserError: it cannot be had; names the key to change.
    """
    names = configurations(asked, wanted, key)
    for name in names:
        try:
            data = _loaded(asked, name)
        except Exception as error:  # as above
            raise _refused(replace(asked, name=name), key, reach.why(error)) from None
        place = asked.path if len(names) == 1 else f"{asked.path} ({name})"
        for number, row in enumerate(data, start=1):
            yield Found(f"{place}, row {number}", (name,), row)


def _loaded(asked: Asked, name: str) -> Any:
    missing = reach.missing()
    import datasets

    if missing is not None and (folder := _cached(asked).get(name)) is not None:
        from datasets.packaged_modules.cache.cache import Cache

        *_, version, commit = folder.parts
        dataset = asked.path.partition("/")[2]
        cache = Cache(repo_id=asked.path, dataset_name=dataset, config_name=name, version=version, hash=commit)
        return cache.as_dataset(split=asked.split)
    return datasets.load_dataset(asked.path, name, split=asked.split, revision=asked.revision)


def _cached(asked: Asked) -> dict[str, Path]:
    """Configuration -> its folder in the cache at this very commit; without a network `datasets` takes what it loaded last."""
    import datasets
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = asked.path.partition("/")
    root = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(name)}"
    found = root.glob(f"*/*/{asked.revision}") if asked.revision is not None and not Path(asked.path).exists() else ()
    return {folder.parts[-3]: folder for folder in found}


def _beside(key: str) -> str:
    """The group of keys that a key for a path stands in, with the number of a source where there are several."""
    return key.rpartition(".")[0] if key.endswith(".path") else key


def _refused(asked: Asked, key: str, reason: str) -> UserError:
    """What a data set's loader said, with the key to change."""
    group, path = _beside(key), asked.path
    if "unknown split" in reason.lower():
        return UserError(f"{group}.hub_split: '{path}' has no split '{asked.split}' ({reason})")
    if "BuilderConfig" in reason or "Config name is missing" in reason:
        return UserError(f"{group}.name: '{path}' has no configuration '{asked.name}' ({reason})")
    if "gated" in reason.lower():
        return UserError(
            f"{key}: '{path}' is gated: accept its terms at https://huggingface.co/datasets/{path}, "
            "then log in with `hf auth login`, or set HF_TOKEN"
        )
    if reach.missing() is not None and asked.revision is not None:
        of = f", configuration '{asked.name}'" if asked.name else ""
        reason = f"it is not in the cache at {asked.revision[:12]}{of}; `croco fetch` with the run's words brings it; {reason}"
    return UserError(f"{key}: cannot load '{path}' from the hub ({reason}); a local copy works with {key}=FILE")


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
