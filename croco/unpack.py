"""A run that `croco pack` has packed, among the artifacts here: each is checked, and those that are there stay.

croco unpack run.tar.gz --artifacts runs
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.jobs import packing  # heavy; `croco --help` never needs it

    return commandline.command("unpack", __doc__, packing.unpack_arguments, packing.unpack, arguments)


if __name__ == "__main__":
    sys.exit(main())
