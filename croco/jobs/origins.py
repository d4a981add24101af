"""Whether what a run was made from is here: its checkpoints, adapters and files by their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from croco.artifacts import holdings, provenance
from croco.artifacts.holdings import Holding
from croco.prompts import rows

YES = "yes"
PATHS = ("path", "adapter", "base", "preferences", "tuned", "chat_template", "model")
"""Keys of the configuration that may name something on this disk."""


def named(run: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Path]]:
    """(key, path) of what a configuration names on a disk: values that are paths, of keys that hold such."""
    for key, value in run.items():
        if key in ("paths", "sizes", "logger", "push"):
            continue
        if isinstance(value, Mapping):
            yield from named(value, f"{prefix}{key}.")
        elif isinstance(value, str) and key in PATHS and ("/" in value or "." in value or Path(value).exists()):
            local = Path(value).is_absolute() or value.startswith(".") or Path(value).exists()
            if local or value.count("/") != 1:  # owner/name is the hub's
                yield f"{prefix}{key}", Path(value)


class Here:
    """What is on this disk; each path is read once."""

    def __init__(self) -> None:
        self._contents: dict[Path, set[str]] = {}
        self._adapters: set[str] | None = None
        self._again: dict[str, str] = {}

    def contents(self, path: Path) -> set[str]:
        """As addresses know it: a checkpoint's fingerprint, the digest of every file."""
        if path not in self._contents:
            found: set[str] = set()
            if path.is_dir():
                found.add(f"sha256:{provenance.fingerprint(path)}")
                if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
                    found |= {rows.digest(file) for file in path.rglob("*") if file.is_file()}
            elif path.is_file():
                found.add(rows.digest(path))
            self._contents[path] = found
        return self._contents[path]

    def lacking(self, run: Mapping[str, Any], contents: set[str], known: set[str]) -> list[str]:
        """What went into it and is not here, in words.

        Args:
            run: the resolved configuration.
            contents: checkpoints and adapters by content, as `holdings.Holding` has them.
            known: adapters that are here beside what the configuration names.
        """
        places = list(named(run))
        there = {content for _, path in places for content in self.contents(path)} | known
        gone = [f"{key}={path} is not here" for key, path in places if not path.exists()]
        if missing := sorted(contents - there):
            # A checkpoint that is not where the run found it, or is another one now.
            return gone or [f"what is {one} is nowhere the run names" for one in missing]
        return gone if not contents else []

    def again(self, held: Mapping[str, Holding], address: str) -> str:
        """Whether an artifact could be made again here, and if not, why: `yes`, or what is lacking for it or for what it was
        made from."""
        if address not in self._again:
            before = (one for one in held[address].artifact.upstream.values() if one in held)
            reasons = (self._own(held, address), *(self.again(held, one) for one in before))
            self._again[address] = next((reason for reason in reasons if reason != YES), YES)
        return self._again[address]

    def _own(self, held: Mapping[str, Holding], address: str) -> str:
        one = held[address]
        if not one.sealed:
            return YES
        if self._adapters is None:
            self._adapters = set(holdings.adapters_of(held))
        run = one.artifact.manifest.get("run", {})
        # What names no checkpoint came from files, or from nothing outside.
        mine = run if one.contents else {group: run[group] for group in _groups(one.artifact.stage) if group in run}
        lacking = self.lacking(mine, set(one.contents), self._adapters)
        return f"no: {lacking[0]}" if lacking else YES


def _groups(stage: str) -> tuple[str, ...]:
    """Of the configuration, those whose files a stage without a checkpoint reads."""
    return {"prompts": ("prompts",), "data": ("data",), "preferences": ("reward",)}.get(stage, ())
