"""A finished run with all the artifacts it stands on as one file, for another machine.

croco pack runs/report/ADDRESS run.tar.gz      # .tar or .tar.gz; there: croco unpack run.tar.gz

Checkpoints that lie outside the artifacts' folder (the base model, the reward model) are not packed; they are named. Optimiser
states, with which a training would go on, are left out, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.jobs import packing  # heavy; `croco --help` never needs it

    return commandline.command("pack", __doc__, packing.arguments, packing.pack, arguments)


if __name__ == "__main__":
    sys.exit(main())
