"""Pairs at the paper's size: time, rows per second and peak memory, against a row-at-a-time implementation of the same rule.

    python benchmarks/pairs.py                                # 2,000, 6,000 and 20,000 prompts x 7 languages x 64 answers
    python benchmarks/pairs.py --prompts 200 600 2000         # smaller

The script makes its data (pairs_data.py) and writes its table to benchmarks/results/pairs.md. Both sides read the same answers:
ours from the Parquet tables that the stages seal (but for token ids, which pairing does not read), the other from JSON lines
in the layout of the reference repository, line after line and prompt after prompt (the kindest way: it never holds more than
a prompt's answers). Ours makes the pair report, too. Each side runs in a process of its own, start-up included; the two
results must be the same, texts included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.pairs_data import LANGUAGES, make
from benchmarks.results import RESULTS, write
from croco.artifacts import records
from croco.show.tables import Table


def pair_ours(folder: Path, scope: str) -> None:
    """The stage's own parts over the tables; writes pairs.parquet."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from croco.config import CONF, PairingConfig
    from croco.pairing.build import PROMPT_COLUMNS, Tables, build

    with initialize_config_dir(str(CONF), version_base=None):
        composed = compose("config", overrides=[f"pairing={scope}"]).pairing
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(PairingConfig), composed))
    files = {
        name: [folder / f"{language}-{name}.parquet" for language in LANGUAGES]
        for name in ("prompts", "generations", "scores")
    }
    prompts = pa.concat_tables(pq.read_table(file, columns=PROMPT_COLUMNS) for file in files["prompts"])
    tables = {"on_policy": Tables(files["generations"], files["scores"])}
    summary = build(prompts, tables, config, folder / "pairs.parquet")
    (folder / "report.json").write_text(json.dumps(summary["report"]))


def pair_rows(folder: Path, scope: str) -> None:
    """The published rule, one JSON line after the other; writes pairs.jsonl."""
    with ExitStack() as stack:
        files = [stack.enter_context((folder / f"{name}_scored.jsonl").open(encoding="utf-8")) for name in LANGUAGES]
        out = stack.enter_context((folder / "pairs.jsonl").open("w", encoding="utf-8"))
        ahead = [json.loads(file.readline()) for file in files]
        while any(ahead):
            prompt_id = min(row["id"] for row in ahead if row)
            pools: dict[str, list[dict[str, Any]]] = {}
            for number, file in enumerate(files):
                pool = pools.setdefault(LANGUAGES[number], [])
                while ahead[number] and ahead[number]["id"] == prompt_id:
                    pool.append({**ahead[number], "language": LANGUAGES[number]})
                    line = file.readline()
                    ahead[number] = json.loads(line) if line else {}
            everything = [row for pool in pools.values() for row in pool]
            for pooled in pools.values() if scope == "mono" else [everything]:
                pair = _pair(pooled)
                if pair is not None:
                    out.write(json.dumps(pair, ensure_ascii=False) + "\n")


def _pair(pool: list[dict[str, Any]]) -> dict[str, Any] | None:
    scores = [row["reward_score"] for row in pool]
    mean = sum(scores) / len(scores)
    target = mean - 2 * math.sqrt(sum((s - mean) ** 2 for s in scores) / len(scores))
    best = max(range(len(pool)), key=lambda i: scores[i])
    lower = [i for i in range(len(pool)) if scores[i] < scores[best]]
    if not lower:
        return None
    worst = min(lower, key=lambda i: abs(scores[i] - target))
    chosen, rejected = pool[best], pool[worst]
    return {
        "prompt_id": chosen["id"],
        "prompt": chosen["messages"][:-1],
        "chosen": chosen["messages"][-1:],
        "rejected": rejected["messages"][-1:],
        "chosen_score": scores[best],
        "rejected_score": scores[worst],
        "chosen_language": chosen["language"],
        "rejected_language": rejected["language"],
    }


COMPARED = (
    "prompt_id",
    "prompt",
    "chosen",
    "rejected",
    "chosen_score",
    "rejected_score",
    "chosen_language",
    "rejected_language",
)


def digest(rows: Iterator[dict[str, Any]]) -> tuple[int, str]:
    """(number, hash) of pairs, all that both sides know of them."""
    count, total = 0, hashlib.sha256()
    for row in rows:
        count += 1
        total.update(json.dumps([row[name] for name in COMPARED], sort_keys=True).encode())
    return count, total.hexdigest()


def _same(folder: Path) -> int:
    """The number of pairs, after checking that both sides made the same."""
    batches = pq.ParquetFile(folder / "pairs.parquet").iter_batches(batch_size=1024, columns=list(COMPARED))
    ours = digest(row for batch in batches for row in batch.to_pylist())
    theirs = digest(row for _, row in records.read_jsonl(folder / "pairs.jsonl"))
    if ours != theirs:
        raise SystemExit(f"the results differ: {ours} and {theirs}")
    return ours[0]


def measure(side: str, folder: Path, scope: str) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--scope", scope]
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"wall": time.monotonic() - started, **json.loads(done.stdout.splitlines()[-1])}


def _usage() -> str:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "peak_gb": usage.ru_maxrss / 2**20})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[2000, 6000, 20000])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--scope", choices=("mono", "multi"), default="multi")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data goes (and stays); a temporary folder by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "pairs.md", help="the table, as Markdown")
    parser.add_argument("--side", choices=("ours", "rows"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        {"ours": pair_ours, "rows": pair_rows}[arguments.side](arguments.folder, arguments.scope)
        print(_usage())
        return
    root = arguments.folder or Path(tempfile.mkdtemp(prefix="pairs-"))
    try:
        _run(arguments, root)
    finally:
        if arguments.folder is None:
            shutil.rmtree(root)


COLUMNS = (
    "answers",
    "pairs",
    "text GB",
    "ours s",
    "ours CPU s",
    "answers/s",
    "ours peak GB",
    "rows s",
    "rows CPU s",
    "rows peak GB",
    "faster",
    "less CPU",
)


def _run(arguments: argparse.Namespace, root: Path) -> None:
    lines = []
    for prompts in arguments.prompts:
        folder = root / f"{prompts}x{arguments.samples}x{arguments.tokens}"
        _made(folder, prompts, arguments.samples, arguments.tokens)
        lines.append(_line(folder, prompts * arguments.samples * len(LANGUAGES), arguments))
        if arguments.folder is None:
            shutil.rmtree(folder)
    title = f"Pairs, {arguments.scope}: {len(LANGUAGES)} languages, {arguments.samples} answers of ~{arguments.tokens} tokens"
    note = (
        f"Each side in a process of its own, start-up included; alternated, medians of {arguments.repeats} "
        f"(lowest and highest in brackets) on {len(os.sched_getaffinity(0))} cores. The two sides' pairs are identical."
    )
    write(arguments.out, Table(title, COLUMNS, lines, note))


def _made(folder: Path, prompts: int, samples: int, tokens: int) -> None:
    """The data, in a process of its own: a child's peak memory is never less than its parent's when it was started."""
    if (folder / "made").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    maker = multiprocessing.get_context("spawn").Process(target=make, args=(folder, prompts, samples, tokens))
    maker.start()
    maker.join()
    if maker.exitcode != 0:
        raise SystemExit("could not make the data")
    (folder / "made").touch()


def _line(folder: Path, answers: int, arguments: argparse.Namespace) -> tuple[str, ...]:
    tries: dict[str, list[dict[str, float]]] = {"ours": [], "rows": []}
    for _ in range(arguments.repeats):
        for side, measured in tries.items():
            measured.append(measure(side, folder, arguments.scope))
    ours, rows = tries["ours"], tries["rows"]
    middle = {
        side: {key: statistics.median(t[key] for t in measured) for key in measured[0]}
        for side, measured in tries.items()
    }
    size = sum(file.stat().st_size for file in folder.glob("*_scored.jsonl")) / 1e9
    return (
        f"{answers:,}",
        f"{_same(folder):,}",
        f"{size:.2f}",
        f"{middle['ours']['wall']:.1f}",
        f"{middle['ours']['cpu']:.1f}",
        f"{answers / middle['ours']['wall']:,.0f}",
        f"{middle['ours']['peak_gb']:.2f}",
        f"{middle['rows']['wall']:.1f}",
        f"{middle['rows']['cpu']:.1f}",
        f"{middle['rows']['peak_gb']:.2f}",
        _ratio(rows, ours, "wall"),
        _ratio(rows, ours, "cpu"),
    )


def _ratio(rows: list[dict[str, float]], ours: list[dict[str, float]], key: str) -> str:
    ratios = [b[key] / a[key] for a, b in zip(ours, rows, strict=True)]
    return f"{statistics.median(ratios):.1f}x [{min(ratios):.1f}, {max(ratios):.1f}]"


if __name__ == "__main__":
    main()
