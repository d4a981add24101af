"""The files of the reference repository: prompts in parallel, scored answers, and its pairs.

There, an answer is joined to its prompt by the prompt's text, and a prompt to its translations by its line number. Departures:
1. Prompts with the same text stay different prompts: their answers lie one prompt after the other in the scored file, and are
   shared out in that order. Where the answers cannot be shared out evenly they are left out, and counted.
2. A score of -999 stands for a failed one there; here it is no score.
3. The files say neither why an answer ended nor its own length: `finish_reason` is taken to be `stop`, `tokens` is their
   `token_length` (of the whole conversation).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croco.artifacts import records
from croco.config.languages import language_of
from croco.errors import UserError
from croco.pairing.build import Tables

FAILED = -999.0
BLOCK = 4096

Row = dict[str, Any]


def rows_of(path: Path) -> Iterator[tuple[int, Row]]:
    """(number from 1, row) of a .jsonl file, or of a .json file that holds a list."""
    if path.suffix == ".json" and path.is_file():
        yield from enumerate(json.loads(path.read_text(encoding="utf-8")), start=1)
    else:
        yield from records.read_jsonl(path, not_a_number=True)


def _turn(path: Path, number: int, row: Row, role: str) -> str:
    for message in row.get("messages") or ():
        if message.get("role") == role:
            return str(message.get("content") or "").strip()
    raise UserError(f"{path}:{number}: no {role} message")


class Originals:
    """The prompts, in parallel by line number."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.lines: dict[str, dict[str, list[str]]] = {}
        """By language and text: the ids of the prompts that have it, in order."""
        table: list[Row] = []
        for path in paths:
            language = language_of(path)
            lines = self.lines.setdefault(language, {})
            for number, row in rows_of(path):
                text = _turn(path, number, row, "user")
                prompt_id = f"{number - 1:08d}"
                lines.setdefault(text, []).append(prompt_id)
                table.append(
                    {"prompt_id": prompt_id, "language": language, "messages": [{"role": "user", "content": text}]}
                )
        types = records.schema(records.Prompt)
        self.table = pa.Table.from_pylist(
            table, schema=pa.schema([types.field(n) for n in ("prompt_id", "language", "messages")])
        )


def read(scored: Sequence[Path], originals: Originals, folder: Path) -> tuple[Tables, Counter[str]]:
    """Turn scored files into tables under `folder`; returns them and the rows left out by reason."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out: Counter[str] = Counter()
    generations, scores = [], []
    for path in scored:
        language = language_of(path)
        files = [folder / f"{language}-{name}.parquet" for name in ("generations", "scores")]
        if language not in originals.lines:
            raise UserError(f"{path}: no file of original prompts in '{language}'")
        _convert(path, language, originals.lines[language], files, left_out)
        generations.append(files[0])
        scores.append(files[1])
    return Tables(generations, scores), left_out


def _convert(path: Path, language: str, lines: dict[str, list[str]], files: list[Path], left_out: Counter[str]) -> None:
    counts = Counter(_turn(path, number, row, "user") for number, row in rows_of(path))
    seen: Counter[str] = Counter()
    schemas = [records.schema(records.Generation), records.schema(records.Score)]
    blocks: list[list[Row]] = [[], []]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pq.ParquetWriter(file, s, compression="zstd"))
            for file, s in zip(files, schemas, strict=True)
        ]

        def flush() -> None:
            for writer, block, schema in zip(writers, blocks, schemas, strict=True):
                writer.write_table(pa.Table.from_pylist(block, schema=schema))
                block.clear()

        for number, row in rows_of(path):
            text = _turn(path, number, row, "user")
            ids = lines.get(text, [])
            if not ids or counts[text] % len(ids):
                left_out["no such prompt" if not ids else "cannot be shared out among equal prompts"] += 1
                continue
            each = counts[text] // len(ids)
            key = {"prompt_id": ids[seen[text] // each], "language": language, "sample": seen[text] % each}
            seen[text] += 1
            common = key | {"tokens": int(row.get("token_length") or 0), "finish_reason": "stop"}
            blocks[0].append(
                common | {"text": _turn(path, number, row, "assistant"), "model": str(row.get("model") or "")}
            )
            blocks[1].append(
                common | {"reward": _reward(row.get("reward_score")), "reward_model": str(row.get("model") or "")}
            )
            if len(blocks[0]) == BLOCK:
                flush()
        flush()


def _reward(value: Any) -> float | None:
    reward = None if value is None else float(value)
    return None if reward is None or not math.isfinite(reward) or reward == FAILED else reward


def read_pairs(path: Path) -> pa.Table:
    """A `dpo_*.jsonl` file as a pairs table; what it does not say (samples, lengths, pool statistics) is null.

    Raises:
        UserError: a column is missing; the message names file and line.
    """
    rows = []
    for number, row in rows_of(path):
        try:
            rows.append(
                {
                    "prompt_id": str(row["id"]),
                    "language": row["prompt_language"],
                    "prompt": [{"role": "user", "content": row["prompt"]}],
                    "chosen": [{"role": "assistant", "content": row["chosen"]}],
                    "rejected": [{"role": "assistant", "content": row["rejected"]}],
                    "source": "published",
                }
                | {
                    n: row[n]
                    for n in ("chosen_score", "rejected_score", "chosen_language", "rejected_language", "pool_size")
                }
            )
        except KeyError as error:
            raise UserError(f"{path}:{number}: no column {error}") from None
    return pa.Table.from_pylist(rows, schema=records.schema(records.Pair))
