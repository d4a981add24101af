"""The words, versions and files that made a finished run, and what of them differs here; and the run again.

croco reproduce runs/report/ADDRESS               # prints them
croco reproduce runs/report/ADDRESS --run         # runs it from its own resolved configuration, into `reproduced/`, and compares

Exit code 1 if with --run a table came out as another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 for another result, or 2 for bad input."""
    from croco.jobs import reproducing  # heavy; `croco --help` never needs it

    return commandline.command("reproduce", __doc__, reproducing.arguments, reproducing.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
