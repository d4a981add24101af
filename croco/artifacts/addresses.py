"""Addresses: short names that are equal exactly when what they stand for is."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ADDRESS_LENGTH = 16
WORD = 28  # characters that a part of a folder's name may take
NOT_THE_RUN = ("paths", "logger", "push")  # where a run lies and who is told of it do not make it another


def plain(value: Any) -> Any:
    """The value in JSON's own types; JSON has no infinity, so `.inf` becomes the string "inf"."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def canonical(value: Any) -> str:
    """JSON that is equal exactly when the values are: sorted keys, no white space."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def address(stage: str, version: int, config: Mapping[str, Any], upstream: Mapping[str, str]) -> str:
    """Hex address of an artifact, `ADDRESS_LENGTH` characters."""
    text = canonical({"stage": stage, "version": version, "config": config, "upstream": upstream})
    return hashlib.sha256(text.encode()).hexdigest()[:ADDRESS_LENGTH]


def folder_of(stage: Path, short: str) -> Path | None:
    """The folder of an address among a stage's: `<address>`, or `<words>-<address>` whichever words it was made under."""
    plain_folder = stage / short
    if plain_folder.is_dir():
        return plain_folder
    return next(iter(sorted(stage.glob(f"*-{short}"))), None)


def words_of(*parts: str | None) -> str:
    """Words for a person, before an address: `eurollm-9b-instruct-multi-mono-dpo`."""
    slugs = (re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.")[:WORD] for part in parts if part)
    return "-".join(slug for slug in slugs if slug)


def of_run(resolved: Mapping[str, Any]) -> str:
    """Address of a run, from its resolved configuration."""
    return address("run", 1, {**resolved, **dict.fromkeys(NOT_THE_RUN)}, {})


def of_sweep(resolved: Mapping[str, Any], axes: Mapping[str, Any], overrides: list[str]) -> str:
    """Address of a sweep, from what its jobs have in common, the axes of its YAML and the words of its command line."""
    words = sorted(word for word in overrides if not word.startswith(NOT_THE_RUN))
    return address("sweep", 1, {**resolved, **dict.fromkeys(NOT_THE_RUN), "axes": axes, "words": words}, {})
