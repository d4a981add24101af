"""The data of benchmarks/pairs.py: scored answers of pseudo-words in seven languages, as Parquet and as JSON lines.

Answers of about so many tokens (4.5 characters each), each a slice at a random place of a text of up to 32 MB per language, so
that text compresses about as prose does and hardly repeats within a page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from croco.artifacts import records
from croco.artifacts.records import compression
from croco.artifacts.store import ROW_GROUP

LANGUAGES = ("da", "de", "en", "es", "fr", "it", "nl")
CHARACTERS_PER_TOKEN = 4.5
LEAST_PROSE, MOST_PROSE = 2**20, 32 * 2**20  # characters per language
PROMPTS_AT_ONCE = ROW_GROUP // 64


def make(folder: Path, prompts: int, samples: int, tokens: int) -> None:
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
        _write(folder / f"{language}-prompts.parquet", records.Prompt, iter([table]))
        with (folder / f"{language}_scored.jsonl").open("w", encoding="utf-8", buffering=1 << 20) as lines:
            parts = _answers(rng, language, prose, ids, samples, tokens)
            generations = (_noted(part, questions, lines, first) for first, part in parts)
            _write_both(folder, language, generations)


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


def _write(path: Path, row_type: type, parts: Iterator[dict[str, Any]]) -> None:
    schema = records.schema(row_type)
    with pq.ParquetWriter(path, schema, compression=compression(schema)) as writer:
        for part in parts:
            writer.write_table(_table(schema, part))


def _write_both(folder: Path, language: str, parts: Iterator[dict[str, Any]]) -> None:
    schemas = {name: records.schema(t) for name, t in (("generations", records.Generation), ("scores", records.Score))}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                pq.ParquetWriter(folder / f"{language}-{name}.parquet", schema, compression=compression(schema))
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
