"""The rows of `prompts.path`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from croco.config import PromptsConfig
from croco.prompts import of_hub, rows
from croco.prompts.rows import Found

KEY = "prompts.path"


def read(config: PromptsConfig, wanted: Sequence[str] = ()) -> Iterator[Found]:
    """Every row, in order.

    Args:
        wanted: of a hub data set with a configuration per language, only these are loaded.

    Raises:
        UserError: nothing is there, or something that cannot be read; names file and line, or the key to change.
    """
    if config.source == "hub":
        asked = of_hub.Asked(str(config.path), config.name, config.hub_split, config.revision)
        return of_hub.rows(asked, wanted, KEY)
    return rows.of_files(Path(str(config.path)), KEY)


def digests(config: PromptsConfig) -> dict[str, str] | None:
    """Name -> content of what is read from this disk, for addresses; None of a data set on the hub."""
    path = Path(str(config.path))
    if config.source != "hub":
        return rows.digests(path, KEY)
    if not path.is_dir():
        return None
    return {str(f.relative_to(path)): rows.digest(f) for f in sorted(path.rglob("*")) if f.is_file()}
