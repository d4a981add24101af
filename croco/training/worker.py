"""One process of a training run that is spread over several; started by `launch.command`, never by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from croco.artifacts import processes
from croco.errors import UserError
from croco.training import fit, handover


def main() -> None:
    processes.end_with_parent()
    config, material, folder, store = handover.read(Path(sys.argv[1]))
    try:
        fit.fit(config, material, folder, store, note=lambda row: None, say=lambda line: None)
    except UserError as error:
        print(f"croco: {error}", flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
