"""The rows of `prompts.path`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

<<<<<<< HEAD
from croco.artifacts import records
from croco.config import PromptsConfig, reach
from croco.errors import UserError
=======
from croco.config import PromptsConfig
from croco.prompts import rows
from croco.prompts.rows import Found
>>>>>>> eae408f (Ready-made pairs, answers and scores: data=pairs|answers|scores from files (.gz, .zst, Parquet, Arrow) or the hub, with the pair report and all behind it; one reader of rows, languages by any of their names, broken rows counted)

KEY = "prompts.path"


def read(config: PromptsConfig) -> Iterator[Found]:
    """Every row, in order.

    Raises:
        UserError: nothing is there, or something that cannot be read; names file and line, or the key to change.
    """
    if config.source == "hub":
        return rows.of_hub(str(config.path), config.name, config.hub_split, config.revision, KEY)
    return rows.of_files(Path(str(config.path)), KEY)


def digests(config: PromptsConfig) -> dict[str, str] | None:
    """Name -> content of what is read from this disk, for addresses; None of a data set on the hub."""
    path = Path(str(config.path))
<<<<<<< HEAD
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
=======
    if config.source != "hub":
        return rows.digests(path, KEY)
    if not path.is_dir():
        return None
    return {str(f.relative_to(path)): rows.digest(f) for f in sorted(path.rglob("*")) if f.is_file()}
>>>>>>> eae408f (Ready-made pairs, answers and scores: data=pairs|answers|scores from files (.gz, .zst, Parquet, Arrow) or the hub, with the pair report and all behind it; one reader of rows, languages by any of their names, broken rows counted)
