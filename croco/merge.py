"""`python -m croco.merge TRAINING OUT [--dtype ...]`: another word for `croco export TRAINING --format checkpoint --to OUT`."""

from __future__ import annotations

import sys

from croco import export


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) < 2:
        return export.main(["--help"])
    return export.main([given[0], "--format", "checkpoint", "--to", *given[1:]])


if __name__ == "__main__":
    sys.exit(main())
