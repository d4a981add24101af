"""What a run costs beside its models, and what the stages of a finished run took: the figures that docs/scale.md counts with.

    python benchmarks/scale.py [--rows 20000] [--units 1250] [--runs runs] [--out FILE]

Without --runs, the demo is run in two languages first.

Answers are made up: 400 tokens on average, ids by Zipf's law over EuroLLM's vocabulary, one word per token.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import results
from croco.artifacts.claims import Claims
from croco.artifacts.records import Generation
from croco.artifacts.store import Store
from croco.show.tables import Table

VOCABULARY = 128_000
MEAN_TOKENS = 400
SAMPLES = 64
ROWS_PER_APPEND = 64


def made_up(rows: int) -> Iterator[Generation]:
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefghijklmnoprstuvåæø"), size=n)) for n in draw.integers(2, 8, VOCABULARY)]
    for i in range(rows):
        count = int(draw.geometric(1 / MEAN_TOKENS))
        ids = (draw.zipf(1.1, size=count) % VOCABULARY).tolist()
        text = " ".join(words[t] for t in ids)
        prompt, sample = f"prompt-{i // SAMPLES:06}", i % SAMPLES
        yield Generation(prompt, "da", sample, text, ids, "stop", 200, count, 1 << 61, "org/model", "")


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> tuple[float, Any]:
    started = clock()
    found = work()
    return clock() - started, found


def storage(rows: int) -> Table:
    """Journal, scan after a kill, seal, and what lies on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = Store(folder).artifact("generations", 1, {})
        answers = list(made_up(rows))
        tokens = sum(a.tokens for a in answers)
        journal = artifact.journal()

        def append() -> None:
            for start in range(0, rows, ROWS_PER_APPEND):
                journal.append(answers[start : start + ROWS_PER_APPEND])

        wrote, _ = timed(append)
        size = journal.path.stat().st_size
        scanned, _ = timed(lambda: {(r["prompt_id"], r["sample"]) for _, _, r in artifact.journalled()})
        sealed, _ = timed(
            lambda: artifact.seal_journal("generations", Generation, order=lambda r: (r["prompt_id"], r["sample"]))
        )
        digest, _ = timed(lambda: artifact.seal({"rows": rows}, 0.0))
        table = (artifact.path / "generations.parquet").stat().st_size
    parts = [
        ("journal, appended and synced by 64", wrote, size),
        ("journals read at a start", scanned, size),
        ("journals turned into a table", sealed, table),
        ("digest and manifest", digest, table),
    ]
    return Table(
        f"{rows:,} answers of {tokens / rows:.0f} tokens on average",
        ("what", "CPU s", "us per answer", "answers/s", "bytes per answer"),
        [(what, s, s / rows * 1e6, round(rows / s), round(size / rows)) for what, s, size in parts],
        "One process, CPU time; random words compress less than text does.",
    )


def _take_all(folder: Path, units: int) -> None:
    claims = Claims(folder, "cut", units, 60.0)
    claims.join()
    while (taken := claims.take()) is not None:
        claims.finish(taken[0])
    claims.leave()


def claiming(units: int) -> Table:
    """Units taken and finished with nothing in between, so that all time is coordination."""
    rows = []
    for workers in (1, 2, 8):
        with tempfile.TemporaryDirectory() as folder:
            context = multiprocessing.get_context("fork")
            processes = [context.Process(target=_take_all, args=(Path(folder), units)) for _ in range(workers)]
            for process in processes:
                process.start()
            seconds, _ = timed(lambda started=processes: [process.join() for process in started], time.perf_counter)
        rows.append((workers, units, seconds, round(units / seconds), seconds / units * 1e3))
    return Table(
        "Units taken and finished, local disk",
        ("workers", "units", "s", "units/s", "ms per unit"),
        rows,
        f"{os.cpu_count()} cores.",
    )


def demo(runs: Path) -> Path:
    """Run it; returns its folder of artifacts."""
    words = [f"paths.artifacts={runs}", "logger=none", "lang.languages=[en,da]", "trainer.threads=1"]
    command = [sys.executable, "-m", "croco.run", *words]
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.DEVNULL)
    return runs


def stages(runs: Path) -> Table:
    """Sums over the artifacts of finished runs, by stage."""
    by_stage: dict[str, list[tuple[int, float, int, int]]] = {}
    for path in sorted(runs.glob("*/*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        summary = manifest["summary"]
        size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
        rows, tokens = int(summary.get("rows", 0)), int(summary.get("tokens", 0))
        by_stage.setdefault(manifest["stage"], []).append((rows, manifest["seconds"], tokens, size))
    shown = []
    for stage, made in by_stage.items():
        rows, seconds, tokens, size = (sum(column) for column in zip(*made, strict=True))
        shown.append((stage, len(made), rows, tokens, seconds, seconds / rows * 1e3 if rows else None, size / 1e6))
    return Table(
        "Stages of a run on the embedded world",
        ("stage", "artifacts", "rows", "tokens", "s", "ms per row", "MB"),
        shown,
        "Seconds include loading the model; generations count those of the evaluation too.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=1_250)
    parser.add_argument("--runs", type=Path, default=None, help="artifacts of a finished run")
    parser.add_argument("--out", type=Path, default=results.RESULTS / "scale.md")
    given = parser.parse_args()
    shown = [storage(given.rows), claiming(given.units)]
    with tempfile.TemporaryDirectory() as folder:
        runs = given.runs if given.runs is not None else demo(Path(folder))
        results.write(given.out, *shown, stages(runs))


if __name__ == "__main__":
    main()
