"""`eval "$(croco completion bash)"` (or zsh, fish): completion of the command `croco`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from croco.cli import commandline, completion


def script(given: argparse.Namespace) -> int:
    """Print Hydra's script for a shell."""
    from croco.run import main as composed

    sys.argv = ["croco", completion.ASKED, f"install={given.shell}"]
    composed()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""

    def ask(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("shell", choices=completion.SHELLS)

    return commandline.command("completion", __doc__, ask, script, arguments)


if __name__ == "__main__":
    sys.exit(main())
