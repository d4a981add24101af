"""Completion in the shell: Hydra's script for the command `croco`, answered from the files alone.

Hydra's own answer composes the configuration at every key press; here groups, choices and keys are read from files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from croco.cli import words

COMPOSED = ("run", "doctor")  # commands that take the configuration's words
SHELLS = ("bash", "zsh", "fish")
ASKED = "-sc"  # what Hydra's script calls the command with: `croco -sc query=bash`, the line in $COMP_LINE


def candidates(word: str) -> list[str]:
    """What a word on its way can become: `met` -> `method=` and `method.`, `method=d` -> `method=dpo`, and keys below a dot."""
    known = words.groups()
    key, equals, value = word.partition("=")
    group = key.split("@")[0]
    if equals and group in known:
        before, comma, last = value.rpartition(",")
        return [f"{key}={before}{comma}{choice}" for choice in known[group] if choice.startswith(last)]
    if equals:
        return []
    every = [key if key.endswith(".") else f"{key}=" for key in words.every_key()]
    depth = word.count(".") + 1
    below = {".".join(key.split(".")[:depth]) + ("." if key.count(".") >= depth else "") for key in every}
    return sorted(name for name in {*below, *(f"{group}=" for group in known)} if name.startswith(word))


def answers(line: str, commands: Sequence[str]) -> list[str]:
    """What the last word of a command line can become."""
    begun = line.split(" ")
    if len(begun) <= 2:
        return [name for name in commands if name.startswith(begun[-1] if len(begun) == 2 else "")]
    return candidates(begun[-1]) if begun[1] in COMPOSED else []


def answer(commands: Sequence[str]) -> int:
    """Answer Hydra's script."""
    line = os.environ.get("COMP_LINE", "")
    print("\n".join(answers(line[: int(os.environ.get("COMP_POINT", len(line)))], commands)))
    return 0
