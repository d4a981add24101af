"""The benchmark runs at a small size, and its two sides make the same pairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_both_sides_agree(tmp_path: Path) -> None:
    for scope, pairs in (("mono", 140), ("multi", 20)):
        command = [sys.executable, "benchmarks/pairs.py", "--prompts", "20", "--samples", "8", "--scope", scope]
        table = tmp_path / f"{scope}.md"
        subprocess.run(
            [*command, "--folder", str(tmp_path), "--repeats", "1", "--out", str(table)], cwd=ROOT, check=True
        )
        assert f"| 1,120 | {pairs} |" in table.read_text(encoding="utf-8")
