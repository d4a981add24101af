"""All artifacts of a folder at once: what each takes and took, what stands on what, and what reports need."""

from __future__ import annotations

import json
import re
import time
from calendar import timegm
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from croco.artifacts import provenance
from croco.artifacts.store import PLAN, Artifact, Store

NOT_STAGES = ("logs", "sweeps", "wandb")
REPORT = "report"
SEALED_AT = "%Y-%m-%dT%H:%M:%SZ"
CONTENT = re.compile(r"sha256:[0-9a-f]{16}")
"""A checkpoint or an adapter as a slice of the configuration names it (models/checkpoints.py)."""


def folders(root: Path) -> Iterator[Path]:
    """The folder of every artifact, finished or not."""
    for stage in sorted(path for path in root.glob("*/") if path.name not in NOT_STAGES):
        yield from sorted(f for f in stage.glob("*/") if (f / PLAN).exists() or (f / "manifest.json").is_file())


@dataclass(frozen=True)
class Holding:
    """One artifact as it lies there."""

    artifact: Artifact
    sealed: bool
    at: float
    """When it was sealed, or its folder last changed; seconds since 1970."""
    size: int
    """Bytes of its files."""
    seconds: float | None
    """That its making took."""
    contents: frozenset[str] = frozenset()
    """Checkpoints and adapters that its configuration names by their content."""

    @property
    def path(self) -> Path:
        return self.artifact.path


def found(root: Path) -> dict[str, Holding]:
    """Address -> artifact. What does not say what it is, is left out.

    Raises:
        UserError: a manifest cannot be read, so that nobody knows what it stands on.
    """
    held = {}
    for folder in folders(root):
        sealed = (folder / "manifest.json").is_file()
        artifact = Store.open(folder) if sealed else Store.begun(folder)
        if artifact is not None:
            size = sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
            said = artifact.manifest if sealed else {}
            at = timegm(time.strptime(said["sealed_at"], SEALED_AT)) if sealed else folder.stat().st_mtime
            seconds = float(said["seconds"]) if sealed else None
            contents = frozenset(CONTENT.findall(json.dumps(artifact.config)))
            held[artifact.address] = Holding(artifact, sealed, at, size, seconds, contents)
    return held


def below(
    held: Mapping[str, Holding], addresses: Collection[str], adapters: Mapping[str, str] | None = None
) -> set[str]:
    """Of these artifacts and all they stand on, those that are there. What trained an adapter that is known by its content
    alone (a reward, a policy's start) counts; `adapters` is what `adapters_of` finds, for who asks again and again."""
    reached: set[str] = set()
    waiting = list(addresses)
    while waiting:
        while waiting:
            address = waiting.pop()
            if address in held and address not in reached:
                reached.add(address)
                waiting += held[address].artifact.upstream.values()
        contents = {name for address in reached for name in held[address].contents}
        adapters = adapters_of(held) if adapters is None else adapters
        waiting = [adapters[name] for name in contents & set(adapters) if adapters[name] not in reached]
    return reached


def adapters_of(held: Mapping[str, Holding]) -> dict[str, str]:
    """Content of each adapter that a training left -> the training's address."""
    trained = [(address, one.path) for address, one in held.items() if one.artifact.stage == "training" and one.sealed]
    return {
        f"sha256:{provenance.fingerprint(folder)}": address
        for address, path in trained
        for folder in (path / "adapter", *path.glob("steps/*"))
        if folder.is_dir()
    }


def older(one: Holding, seconds: float) -> bool:
    return time.time() - one.at > seconds
