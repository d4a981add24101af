"""What a run plans before its first step, by its number of pairs: nothing of it may grow faster than they do.

    python benchmarks/training_plan.py              # 20 thousand, 140 thousand and 1.4 million pairs, a minute

Sizes are log-normal, 1,000 tokens a pair on average, in packs of 8,192; seconds are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.results import RESULTS, write
from croco.show.tables import Table
from croco.training.data import Plan, packs

BUDGET, BATCH = 8192, 64
STEPS = 200  # whose plans are timed


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def row(pairs: int) -> tuple[Any, ...]:
    sizes = np.minimum(np.random.default_rng(0).lognormal(6.8, 0.45, pairs).astype(int) + 1, BUDGET).tolist()
    plan = Plan(pairs, BATCH, 1, 0)
    order, _ = cpu(lambda: plan.batch(0))
    steps = range(1, min(STEPS, plan.steps))
    planned, _ = cpu(lambda: [plan.batch(step) for step in steps])
    counted, _ = cpu(lambda: plan.tokens(sizes))
    packed, groups = cpu(lambda: packs(range(pairs), sizes, BUDGET))
    return (
        f"{pairs:,}",
        f"{1e3 * order:.1f}",
        f"{1e3 * planned / len(steps):.3f}",
        f"{counted:.3f}",
        f"{packed:.2f}",
        f"{1e6 * packed / pairs:.2f}",
        f"{sum(sizes) / BUDGET / len(groups):.1%}",
    )


COLUMNS = ("pairs", "order, ms", "a step, ms", "tokens, s", "packs, s", "packs, us a pair", "packs full")


def table(pairs: Sequence[int]) -> Table:
    row(20_000)  # what runs for the first time meets the garbage of what was imported
    note = "The order is that of an epoch, made once; the packs are the reference's, all pairs together."
    return Table("What a run plans, by its number of pairs", COLUMNS, [row(count) for count in pairs], note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", type=int, default=[20_000, 140_000, 1_400_000])
    parser.add_argument("--out", type=Path, default=RESULTS / "training_plan.md")
    arguments = parser.parse_args()
    write(arguments.out, table(arguments.pairs))


if __name__ == "__main__":
    main()
