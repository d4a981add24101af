"""Memory of one training step beyond the loaded model, each side in a process in which nothing has been allocated before."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.counting import peak
from benchmarks.training_data import LENGTHS, made_pairs, one_pair
from benchmarks.training_sides import sides
from croco.show.tables import Table

BY_LENGTH = ("TRL, default", "TRL, hand-tuned", "croco, a pair at a time", "croco, a pair at a time, recomputed")


def settings() -> argparse.ArgumentParser:
    """What every process of the benchmark is told."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens-per-pack", type=int, default=1536)
    parser.add_argument("--unmodified", action="store_true", help="TRL as it ships for this device")
    return parser


def megabytes(side: str, folder: Path, arguments: argparse.Namespace, *what: str) -> float:
    """Peak of a side's step on the model in `folder`; `what` says on which pairs (`--pairs` or `--row`)."""
    command = [sys.executable, __file__, side, "--folder", str(folder), *what]
    for name in ("device", "dtype", "threads", "tokens_per_pack"):
        command += ["--" + name.replace("_", "-"), str(getattr(arguments, name))]
    command += ["--unmodified"] * arguments.unmodified
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def by_length(shape: str, folder: Path, arguments: argparse.Namespace) -> Table:
    """The peak of a step of one pair, by the tokens of its row."""
    rows = []
    for tokens in arguments.rows:
        some = [f"{megabytes(side, folder, arguments, '--row', str(tokens)):,.0f}" for side in BY_LENGTH]
        rows.append([f"{tokens:,} tokens", *some])
    note = "MB beyond the loaded model for a step of one pair: half of the row is the prompt, a quarter each answer."
    return Table(f"{shape}, {arguments.dtype}: peak memory against row length", ["", *BY_LENGTH], rows, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[settings()])
    parser.add_argument("side")
    parser.add_argument("--folder", type=Path, required=True, help="the model")
    parser.add_argument("--mix", choices=sorted(LENGTHS), help="of the lengths of `--pairs` pairs")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--row", type=int, help="instead: one pair of this many tokens")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)
    vocabulary = json.loads((arguments.folder / "config.json").read_text())["vocab_size"]
    row, pairs, mix = arguments.row, arguments.pairs, arguments.mix
    examples = [one_pair(row, vocabulary)] if row else made_pairs(pairs, vocabulary, mix)
    folder, pack = arguments.folder, arguments.tokens_per_pack
    makers = sides(folder, arguments.dtype, pack, arguments.unmodified, examples, folder.parent)
    side, places = makers[arguments.side](), list(range(len(examples)))
    print(peak(arguments.device, lambda: side.step(examples, places)))


if __name__ == "__main__":
    main()
