"""docs/guarantees.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
NAMED = re.compile(r"`(test_\w+)(?:::(test_\w+))?`")


def test_every_promise_names_a_test() -> None:
    named = NAMED.findall((HERE.parent / "docs" / "guarantees.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    for module, function in named:
        files = [file.read_text(encoding="utf-8") for file in HERE.rglob(f"{module}.py")]
        assert any(not function or f"def {function}(" in text for text in files), (module, function)
