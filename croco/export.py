"""Pairs for other tools, and a trained policy or reward model as a checkpoint of its own.

croco export runs/pairs/<address> --format trl_dpo --to pairs.jsonl
croco export runs/pairs/<address> --format llamafactory --to data/croco.jsonl   # and data/dataset_info.json
croco export runs/pairs/<address> --format axolotl --to croco.parquet           # and croco.axolotl.yaml
croco export runs/training/<address> --format checkpoint --to FOLDER            # adapter and base as one
croco export runs/reward_model/<address> --format checkpoint --to FOLDER        # a reward model of one's own, with its card
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.exchange import exporting  # heavy; `croco --help` never needs it

    return commandline.command("export", __doc__, exporting.arguments, exporting.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
