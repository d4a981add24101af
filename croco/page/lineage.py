"""Where a result comes from and what that took: every artifact before it, with address, maker and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from croco.artifacts.store import Artifact, Artifacts, Store
from croco.show.tables import Table

SHOWN = 8  # characters of an address or a commit
GIB = 2**30


def ancestors(inputs: Mapping[str, Artifact | Artifacts]) -> dict[str, Artifact]:
    """Name -> artifact: the inputs and, before them, what they were made from, each address once, as far as it is on disk."""
    found: dict[str, Artifact] = {}
    known: set[str] = set()
    waiting = list(_named(inputs))
    while waiting:
        name, artifact = waiting.pop(0)
        if artifact.address in known:
            continue
        known.add(artifact.address)
        found[name if name not in found else f"{name} ({artifact.address[:SHOWN]})"] = artifact
        for before, address in artifact.upstream.items():
            if address not in known and (folder := _folder(artifact.root, address)) is not None:
                waiting.append((before, Store.open(folder)))
    return found


def _named(inputs: Mapping[str, Artifact | Artifacts]) -> Iterator[tuple[str, Artifact]]:
    for name, artifact in inputs.items():
        if isinstance(artifact, Artifacts):
            yield from ((f"{name}/{language}", one) for language, one in artifact.by_language.items())
        else:
            yield name, artifact


def _folder(root: Path, address: str) -> Path | None:
    return next((file.parent for file in root.glob(f"*/*{address}/manifest.json")), None)


def lineage(found: Mapping[str, Artifact]) -> Table:
    """A row per artifact; inputs that are no row of their own have been removed from the disk, and keep their address."""
    names = {artifact.address: name for name, artifact in found.items()}
    rows = []
    for name, artifact in found.items():
        manifest = artifact.manifest
        inputs = [f"{names.get(a, n)} {a[:SHOWN]}" for n, a in artifact.upstream.items()]
        by = f"{artifact.stage}, version {artifact.version}"
        commit = (manifest.get("git") or "none")[:SHOWN] + ("+changes" if "+" in (manifest.get("git") or "") else "")
        seed = manifest.get("seed")
        rows.append(
            (name, f"{artifact.stage}/{artifact.path.name}", by, ", ".join(inputs), manifest["sealed_at"], commit, seed)
        )
    note = "Addresses are folders below the store's root; equal addresses are equal artifacts, made once for all runs."
    return Table("Lineage", ("artifact", "address", "made by", "from", "at", "commit", "seed"), rows, note)


def costs(found: Mapping[str, Artifact]) -> Table:
    """Seconds, rows, tokens and peak memory of the making of each artifact, and the sum of what adds up."""
    rows: list[tuple[object, ...]] = []
    seconds, tokens = 0.0, 0
    for name, artifact in found.items():
        manifest = artifact.manifest
        summary, took = manifest["summary"], float(manifest["seconds"])
        count = summary.get("tokens")
        speed = count / took if count and took else None
        memory = [_gib(manifest.get("memory", {}).get(kind)) for kind in ("host_peak", "device_peak")]
        rows.append((name, took, summary.get("rows"), count, speed, *memory))
        seconds, tokens = seconds + took, tokens + (count or 0)
    rows.append(("all", seconds, None, tokens or None, None, None, None))
    columns = ["artifact", "seconds", "rows", "tokens", "tokens/s", "memory (GiB)", "GPU memory (GiB)"]
    if all(row[-1] is None for row in rows):  # no GPU was used
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    note = (
        "Wall time when the artifact was made, by this run or by the one that shares it. Memory: the highest resident size of "
        "the process meanwhile, without processes that an engine starts; GPU: what torch held at most in it, or in a process "
        "of an engine or a training, whichever held most (where vLLM ran: all that its GPU held)."
    )
    return Table("Costs", tuple(columns), rows, note, 2)


def _gib(count: int | None) -> float | None:
    return None if count is None else count / GIB
