"""`croco workspace ENTITY/PROJECT`: a W&B workspace in which the runs of an experiment are compared.

Needs the extra `workspace` and a W&B key: a workspace lives on the server, so there is none offline.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.tracking import workspace  # heavy; `croco --help` never needs it

    return commandline.command("workspace", __doc__, workspace.arguments, workspace.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
