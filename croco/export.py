"""Pairs for other tools.

python -m croco.export runs/pairs/<address> --format trl_dpo --to pairs.jsonl
python -m croco.export runs/pairs/<address> --format llamafactory --to data/croco.jsonl   # and data/dataset_info.json
python -m croco.export runs/pairs/<address> --format axolotl --to croco.parquet           # and croco.axolotl.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from croco.errors import UserError
from croco.pairing.exchange import FORMATS, export


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="croco.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="a pairs artifact, or its pairs.parquet")
    parser.add_argument("--format", choices=sorted(FORMATS), default="trl_dpo")
    parser.add_argument("--to", type=Path, required=True, help="a .jsonl or .parquet file")
    given = parser.parse_args(arguments)
    try:
        count, settings = export(given.pairs, given.format, given.to)
    except UserError as error:
        print(f"croco: {error}", file=sys.stderr)
        return 2
    print(f"{given.to}: {count:,} rows" + (f"; settings in {settings}" if settings is not None else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
