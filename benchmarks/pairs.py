"""Pairs at the paper's size: time, rows per second and peak memory, against a row-at-a-time implementation of the same rule.

    python benchmarks/pairs.py                                # 2,000, 6,000 and 20,000 prompts x 7 languages x 64 answers
    python benchmarks/pairs.py --prompts 200 600 2000         # smaller

The script makes its data: answers of about --tokens tokens (4.5 characters each) of pseudo-words, each a slice at a random
place of a text of up to 32 MB per language, so that text compresses about as prose does and hardly repeats within a page.
Both sides read the same answers: ours from the Parquet tables that the stages seal (but for token ids, which pairing does not
read), the other from JSON lines in the layout of the reference repository, line after line and prompt after prompt (the
kindest way: it never holds more than a prompt's answers). Each side runs in a process of its own, start-up included; the two
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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from croco import records
from croco.store import ROW_GROUP

LANGUAGES = ("da", "de", "en", "es", "fr", "it", "nl")
CHARACTERS_PER_TOKEN = 4.5
LEAST_PROSE, MOST_PROSE = 2**20, 32 * 2**20  # characters per language
PROMPTS_AT_ONCE = ROW_GROUP // 64
TEXT_COLUMNS = {"language", "finish_reason"}


def make(folder: Path, prompts: int, samples: int, tokens: int, compression: str) -> None:
    """Prompts, generations and scores of every language, as Parquet and as JSON lines."""
    for number, language in enumerate(LANGUAGES):
        rng = np.random.default_rng([number, prompts])
        prose = _prose(rng, min(max(prompts * samples * tokens * 4, LEAST_PROSE), MOST_PROSE))
        ids = [f"prompt-{p:06d}" for p in range(prompts)]
        questions = [[{"role": "user", "content": f"{language} {i}: {prose[:150]}"}] for i in ids]
        table = {
            "prompt_id": ids,
            "language": [language] * prompts,
            "messages": questions,
            "split": ["train"] * prompts,
        }
        _write(folder / f"{language}-prompts.parquet", records.Prompt, iter([table]), compression)
        with (folder / f"{language}_scored.jsonl").open("w", encoding="utf-8", buffering=1 << 20) as lines:
            parts = _answers(rng, language, prose, ids, samples, tokens)
            generations = (_noted(part, questions, lines, first) for first, part in parts)
            _write_both(folder, language, generations, compression)


def _prose(rng: np.random.Generator, size: int) -> str:
    """Pseudo-words with the frequencies of words in a text (Zipf), mean length 5 letters and a space."""
    letters = np.array(list("etaoinsrhldcumfpgwybvkæøéßñü"))
    words = np.array(["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, 20_000)])
    frequency = 1 / np.arange(1, len(words) + 1)
    drawn = rng.choice(len(words), size // 5, p=frequency / frequency.sum())
    return " ".join(words[drawn])[:size]


def _answers(
    rng: np.random.Generator, language: str, prose: str, ids: list[str], samples: int, tokens: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(first prompt, columns) of PROMPTS_AT_ONCE prompts at a time."""
    offset = float(rng.normal(scale=0.3))
    for first in range(0, len(ids), PROMPTS_AT_ONCE):
        some = ids[first : first + PROMPTS_AT_ONCE]
        count = len(some) * samples
        lengths = np.clip(rng.lognormal(math.log(tokens), 0.4, count) / math.exp(0.08), 8, 4096).astype(int)
        sizes = (lengths * CHARACTERS_PER_TOKEN).astype(int)
        places = rng.integers(0, len(prose) - int(sizes.max()), count)
        yield (
            first,
            {
                "prompt_id": np.repeat(some, samples).tolist(),
                "language": [language] * count,
                "sample": np.tile(np.arange(samples), len(some)),
                "text": [prose[a : a + n].strip() for a, n in zip(places.tolist(), sizes.tolist(), strict=True)],
                "tokens": lengths,
                "finish_reason": ["stop"] * count,
                "reward": np.repeat(rng.normal(size=len(some)), samples) + rng.normal(offset, 1, count),
            },
        )


def _noted(columns: dict[str, Any], questions: list[Any], lines: Any, first: int) -> dict[str, Any]:
    """The columns, after writing them as JSON lines."""
    samples = len(columns["text"]) // len(set(columns["prompt_id"]))
    tokens = columns["tokens"].tolist()
    for i, (prompt_id, text, reward) in enumerate(
        zip(columns["prompt_id"], columns["text"], columns["reward"].tolist(), strict=True)
    ):
        question = json.dumps(questions[first + i // samples][0], ensure_ascii=False)
        # Pseudo-words hold nothing that JSON would escape.
        lines.write(
            f'{{"id": "{prompt_id}", "messages": [{question}, {{"role": "assistant", "content": "{text}"}}], '
            f'"reward_score": {reward!r}, "token_length": {tokens[i]}}}\n'
        )
    return columns


def _write(path: Path, row_type: type, parts: Iterator[dict[str, Any]], compression: str) -> None:
    schema = records.schema(row_type)
    with pq.ParquetWriter(path, schema, compression=compression) as writer:
        for part in parts:
            writer.write_table(_table(schema, part))


def _write_both(folder: Path, language: str, parts: Iterator[dict[str, Any]], compression: str) -> None:
    schemas = {name: records.schema(t) for name, t in (("generations", records.Generation), ("scores", records.Score))}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                pq.ParquetWriter(folder / f"{language}-{name}.parquet", schema, compression=compression)
            )
            for name, schema in schemas.items()
        }
        for part in parts:
            for name, writer in writers.items():
                writer.write_table(_table(schemas[name], part))


def _table(schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    """The columns of a row type; those the benchmark has nothing for (token ids, seeds, ...) are null."""
    count = len(columns["prompt_id"])
    return pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type) for f in schema],
        schema=schema,
    )


def pair_ours(folder: Path, scope: str) -> None:
    """The stage's own parts over the tables; writes pairs.parquet."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from croco.config import CONF, PairingConfig
    from croco.pairing import answers, report, rows
    from croco.pairing.choose import choose
    from croco.pairing.texts import Texts

    with initialize_config_dir(str(CONF), version_base=None):
        composed = compose("config", overrides=[f"pairing={scope}"]).pairing
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(PairingConfig), composed))
    files = {
        name: [folder / f"{language}-{name}.parquet" for language in LANGUAGES]
        for name in ("prompts", "generations", "scores")
    }
    scored = answers.read({"on_policy": files["scores"]})
    columns = ["prompt_id", "language", "messages"]
    prompts = rows.Prompts.of(
        pa.concat_tables(pq.read_table(file, columns=columns) for file in files["prompts"]), scored
    )
    pairs = choose(scored, config, prompts.rows)
    texts = Texts({"on_policy": files["generations"]})
    facts = report.TextFacts(len(pairs))

    def noted() -> Iterator[pa.Table]:
        for part, table in rows.blocks(pairs, prompts, texts):
            facts.add(part.start, table)
            yield table

    rows.write(noted(), folder / "pairs.parquet")
    texts.close()
    (folder / "report.json").write_text(json.dumps(report.numbers(pairs, config, facts)))


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
    parser.add_argument(
        "--compression", choices=("zstd", "lz4"), default="zstd", help="zstd is what the stages seal with"
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the data goes (and stays); a temporary folder by default")
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


def _run(arguments: argparse.Namespace, root: Path) -> None:
    print(
        f"scope {arguments.scope}, {len(LANGUAGES)} languages, {arguments.samples} answers, ~{arguments.tokens} tokens; "
        f"{len(os.sched_getaffinity(0))} cores; the lowest of {arguments.repeats}"
    )
    print(
        f"{'rows':>10} {'pairs':>7} {'text GB':>7} | {'ours s':>7} {'cpu s':>6} {'rows/s':>10} {'peak GB':>7} | "
        f"{'rows s':>7} {'cpu s':>6} {'peak GB':>7} | {'faster':>6} {'cpu':>6}"
    )
    for prompts in arguments.prompts:
        folder = root / f"{prompts}x{arguments.samples}x{arguments.tokens}-{arguments.compression}"
        if not (folder / "made").exists():
            folder.mkdir(parents=True, exist_ok=True)
            # In a process of its own: a child's peak memory is never less than its parent's size when it was started.
            maker = multiprocessing.get_context("spawn").Process(
                target=make, args=(folder, prompts, arguments.samples, arguments.tokens, arguments.compression)
            )
            maker.start()
            maker.join()
            if maker.exitcode != 0:
                raise SystemExit("could not make the data")
            (folder / "made").touch()
        tries = {
            side: [measure(side, folder, arguments.scope) for _ in range(arguments.repeats)]
            for side in ("ours", "rows")
        }
        ours, other = (
            {key: min(t[key] for t in tries[side]) for key in ("wall", "cpu", "peak_gb")} for side in ("ours", "rows")
        )
        rows = prompts * arguments.samples * len(LANGUAGES)
        size = sum(file.stat().st_size for file in folder.glob("*_scored.jsonl")) / 1e9
        print(
            f"{rows:>10,} {_same(folder):>7,} {size:>7.2f} | {ours['wall']:>7.1f} {ours['cpu']:>6.1f} "
            f"{rows / ours['wall']:>10,.0f} {ours['peak_gb']:>7.2f} | {other['wall']:>7.1f} {other['cpu']:>6.1f} "
            f"{other['peak_gb']:>7.2f} | {other['wall'] / ours['wall']:>5.1f}x {other['cpu'] / ours['cpu']:>5.1f}x",
            flush=True,
        )
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
