"""`croco status [--artifacts runs]`: runs, sweeps, what is being made and how far it is, and what failed.

Everything is read from the files that runs leave; nothing is loaded that computes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.jobs import overview  # heavy; `croco --help` never needs it

    return commandline.command("status", __doc__, overview.arguments, overview.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
