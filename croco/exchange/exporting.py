"""`croco export`: pairs in other tools' formats, a trained policy as one checkpoint, a reward model with its card."""

from __future__ import annotations

import argparse
from pathlib import Path

from croco.artifacts.store import Store
from croco.exchange import formats, reward_models

CHECKPOINT = "checkpoint"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it asks for."""
    parser.add_argument(
        "artifact",
        type=Path,
        help="a pairs artifact or its pairs.parquet; a training or reward_model artifact, or a PEFT folder",
    )
    parser.add_argument("--format", choices=[*sorted(formats.FORMATS), CHECKPOINT], default="trl_dpo")
    parser.add_argument(
        "--to", type=Path, required=True, help="a .jsonl or .parquet file; a new folder for a checkpoint"
    )
    parser.add_argument(
        "--dtype", default="bfloat16", choices=("bfloat16", "float32"), help="of a merged checkpoint's weights"
    )


def run(given: argparse.Namespace) -> int:
    """Write it, say where."""
    if given.format == CHECKPOINT:
        if reward_models.is_one(given.artifact):
            reward_models.write(Store.open(given.artifact), given.to)
            print(f"reward model: {given.to}, with its card, in the weights' own dtype")
            return 0
        from croco.exchange import merging  # torch; pairs need none

        merging.merge(given.artifact, given.to, given.dtype)
        print(f"merged checkpoint: {given.to}")
        return 0
    count, settings = formats.export(given.artifact, given.format, given.to)
    print(f"{given.to}: {count:,} rows" + (f"; settings in {settings}" if settings is not None else ""))
    return 0
