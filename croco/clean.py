"""What artifacts cost, what depends on them and whether they could be made again; and their removal.

croco clean                                # a table, the largest first; nothing is removed
croco clean --unreachable                  # what no report stands on: says what would go
croco clean --unreachable --yes            # ... and removes it
croco clean --older-than 30d --yes         # runs made before, and what no younger run needs
croco clean --sweep NAME --yes             # a sweep's runs, and what no other run needs

What a report that stays stands on is never removed. With --yes temporary files, locks and notes of progress of processes that
are gone go, too; --yes removes nothing while a run is at work.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.jobs import cleaning  # heavy; `croco --help` never needs it

    return commandline.command("clean", __doc__, cleaning.arguments, cleaning.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
