"""One process of a training run that is spread over several; started by `loop.command`, never by hand."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from croco.errors import UserError
from croco.training import fit


def main() -> None:
    config, material, folder, store = pickle.loads(Path(sys.argv[1]).read_bytes())
    try:
        fit.fit(config, material, folder, store, note=lambda row: None, say=lambda line: None)
    except UserError as error:
        print(f"croco: {error}", flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
