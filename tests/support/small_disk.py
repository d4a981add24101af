"""A disk that is really full, or read-only, for tests: a tmpfs in a mount namespace of its own, where root is refused, too.

Run as `python -m tests.support.small_disk FOLDER CASES`, by `run`: CASES is JSON of [mount options of FOLDER/disk, paths below it
that are read-only meanwhile, words of the command], run one after the other on one disk; a line of JSON says what became of each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Case = tuple[str, Sequence[str], Sequence[str]]


def run(folder: Path, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """`code`, `said` (the lines that begin with `croco:`), `trace`, `left` (temporary files) and `sealed` of each case."""
    alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        tried = subprocess.run([*alone, "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no `unshare` here, without which nothing can be mounted for a test alone")
    if tried.returncode != 0:
        pytest.skip(f"nothing can be mounted here ({tried.stderr.strip()})")
    command = [*alone, sys.executable, "-m", "tests.support.small_disk", str(folder), json.dumps(cases)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _mount(*words: str) -> None:
    subprocess.check_call(["mount", *words])


def _called(words: Sequence[str], out: Path) -> int:
    """As a user calls it, in a child that finds what is heavy loaded."""
    import croco.run

    child = os.fork()
    if child == 0:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = ["croco.run", *words]
        code: Any = 70
        try:
            code = croco.run.command(words)
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    import croco.jobs.job  # noqa: F401 - loaded before the children begin
    from croco.stages import stages

    stages()
    folder, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    disk, out = folder / "disk", folder / "out.txt"
    disk.mkdir()
    _mount("-t", "tmpfs", "none", str(disk))
    for options, read_only, words in cases:
        _mount("-o", f"remount,{options}", str(disk))
        parts = [path for pattern in read_only for path in disk.glob(pattern)]
        for part in parts:
            _mount("--bind", str(part), str(part))
            _mount("-o", "remount,bind,ro", str(part))
        code = _called(words, out)
        for part in parts:
            subprocess.check_call(["umount", "-l", str(part)])
        said = out.read_text(encoding="utf-8")
        print(
            json.dumps(
                {
                    "code": code,
                    "said": [line for line in said.splitlines() if line.startswith("croco:")],
                    "whole": said,
                    "trace": "Traceback" in said,
                    "left": sorted(str(path.relative_to(disk)) for path in disk.rglob("*.tmp")),
                    "sealed": sorted(str(path.parent.relative_to(disk)) for path in disk.glob("*/*/*/manifest.json")),
                    "outcomes": sorted(json.loads(f.read_text())["state"] for f in disk.rglob("outcome.json")),
                    "tables": _tables(disk) if code == 0 else None,
                }
            ),
            flush=True,
        )


def _tables(disk: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    return {
        f"{file.parents[1].name}/{file.name}": pq.read_table(file).to_pylist()
        for file in sorted(disk.glob("*/*/*.parquet"))
        if (file.parent / "manifest.json").exists()
    }


if __name__ == "__main__":
    main()
