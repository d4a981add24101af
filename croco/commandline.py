"""What stands around a job or a sweep on the command line: help, words that are wrong, an interrupt, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from croco import words
from croco.errors import UserError

HELP = {"--help", "-h"}


def run(main: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Call Hydra's main function, or answer in its place; returns the exit code."""
    if HELP & set(arguments):
        print(words.help_text())
        return 0
    try:
        words.check(arguments)
        main()
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncroco: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0
