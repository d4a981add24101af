"""Everything that only a GPU can show, on one card within five minutes: is it right, how fast is it, where does the time go.

    python benchmarks/gpu.py                        # writes benchmarks/results/gpu_CARD.md as it goes
    python benchmarks/gpu.py --parts card step      # some of it
    python benchmarks/gpu.py --dry                  # all of it, small, on a CPU

Each part is a process of its own with its own end: what one of them breaks, also the device, does not touch the next. Weights are
random and made on the device. Every side of the training step is warmed up on the batches it is timed on (`cold` is the first
time), and gets the reference's log-probs; TRL's looks at answer positions only. "Of ceiling" is the share of a large product's
speed that a step's counted operations come to; attention's are added by hand, since nothing counts them. A pair's time is the
mean over two batches, of the fastest of three tries.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.gpu_parts import PARTS
from benchmarks.results import RESULTS
from croco.show import tables
from croco.show.tables import Table

ROOT = Path(__file__).parent.parent


def shown(lines: Path) -> list[Table]:
    """The rows so far, a table for each kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else ():
        entry = json.loads(line)
        found.setdefault(entry["table"], []).append(entry["cells"])
    made = []
    for title, rows in found.items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        made.append(Table(title, columns, [tuple(str(row.get(name, "")) for name in columns) for row in rows]))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="small, on a CPU")
    parser.add_argument("--sides", nargs="+", default=[], help="of the training step: only these")
    parser.add_argument("--seconds", type=float, default=600, help="for all parts together")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/gpu_CARD.md")
    arguments = parser.parse_args()
    if not arguments.dry and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --dry runs all of it small on a CPU")
    name = "dry" if arguments.dry else re.sub(r"\W+", "_", torch.cuda.get_device_name())
    out = arguments.out or RESULTS / f"gpu_{name}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = out.with_suffix(".jsonl").absolute()
    lines.unlink(missing_ok=True)
    until = time.monotonic() + arguments.seconds
    for part in arguments.parts:
        seconds = min(PARTS[part][1] * (5 if arguments.dry else 1), until - time.monotonic())
        if seconds < 10:
            break
        _run(part, lines, seconds, arguments)
        made = shown(lines)
        out.write_text("\n\n".join(tables.markdown(table) for table in made) + "\n", encoding="utf-8")
    print(tables.text(shown(lines)), flush=True)


def _run(part: str, lines: Path, seconds: float, arguments: argparse.Namespace) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/gpu_parts.py"), part]
    command += ["--lines", str(lines), "--seconds", str(seconds - 5), *(["--dry"] * arguments.dry)]
    command += ["--sides", *arguments.sides]
    environment = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TQDM_DISABLE": "1", **os.environ}
    print(f"== {part}", flush=True)
    begun = time.monotonic()
    try:
        code: Any = subprocess.run(command, env=environment, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        code = "no end"
    entry = {"table": "Parts", "cells": {"part": part, "exit code": code, "seconds": f"{time.monotonic() - begun:.0f}"}}
    with lines.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
