"""What processes of a training write: each tells the paths that it makes, opens for writing, moves or removes."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

HOOK = """
import os, sys
record = os.open({record!r} + os.environ.get("RANK", "none"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def told(event, given):
    if event == "open":
        if not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event not in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        return
    if isinstance(given[0], (str, os.PathLike)):
        os.write(record, (os.fspath(given[0]) + "\\n").encode())
sys.addaudithook(told)
"""


class Writes:
    """Of the processes that begin from now on, by rank."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(HOOK.format(record=str(folder / "rank-")))
        patch.setenv("PYTHONPATH", str(folder) + os.pathsep + os.environ.get("PYTHONPATH", ""))

    def below(self, root: Path) -> dict[str, set[Path]]:
        """Rank -> paths below a folder, as seen from there."""
        found: dict[str, set[Path]] = defaultdict(set)
        for file in self.folder.glob("rank-*"):
            for line in file.read_text().splitlines():
                if Path(line).is_relative_to(root):
                    found[file.name.removeprefix("rank-")].add(Path(line).relative_to(root))
        return found
