"""Pairs as rows: their texts and ids gathered block by block, written column by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from croco.artifacts import records
from croco.artifacts.files import whole
from croco.pairing.answers import Answers
from croco.pairing.choose import Chosen
from croco.pairing.texts import WANTED, Texts

BLOCK_PAIRS = 8192
SCHEMA = records.schema(records.Pair)
SINGLE = pa.schema([part for part in SCHEMA if not part.name.startswith(("rejected", "pool_"))])
"""Of a chosen answer without a rejected one."""


@dataclass(frozen=True)
class Prompts:
    """The prompts that may be shown."""

    messages: pa.Array
    rows: NDArray[np.int64]
    """(prompts, languages) of `Answers`: row in `messages`, -1 where a prompt is not in a language."""

    @staticmethod
    def of(table: pa.Table, answers: Answers) -> Prompts:
        """From columns prompt_id, language, messages."""
        prompt = {name: code for code, name in enumerate(answers.prompt_ids)}
        language = {name: code for code, name in enumerate(answers.languages)}
        rows = np.full((len(prompt), len(language)), -1, np.int64)
        names = zip(table["prompt_id"].to_pylist(), table["language"].to_pylist(), strict=True)
        for row, (prompt_id, name) in enumerate(names):
            if prompt_id in prompt and name in language:
                rows[prompt[prompt_id], language[name]] = row
        return Prompts(pa.concat_arrays(table["messages"].chunks), rows)


def blocks(pairs: Chosen, prompts: Prompts, texts: Texts) -> Iterator[tuple[slice, pa.Table]]:
    """(which pairs, their rows) in order, BLOCK_PAIRS at a time."""
    for begin in range(0, len(pairs), BLOCK_PAIRS):
        part = slice(begin, min(begin + BLOCK_PAIRS, len(pairs)))
        yield part, _table(pairs.take(np.arange(part.start, part.stop)), prompts, texts)


def write(tables: Iterator[pa.Table], path: Path, schema: pa.Schema = SCHEMA) -> None:
    """The schema's columns, through a temporary file, one row group per table."""
    with whole(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.select(schema.names))


def as_answers(texts: pa.Array) -> pa.Array:
    """Each text as a conversation of one assistant message."""
    message = pa.StructArray.from_arrays(
        [pa.repeat("assistant", len(texts)), texts],
        fields=[pa.field("role", pa.string()), pa.field("content", pa.string())],
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1, dtype=np.int32)), message)


def _table(pairs: Chosen, prompts: Prompts, texts: Texts) -> pa.Table:
    answers = pairs.answers
    count = len(pairs)
    both = answers.take(np.concatenate([pairs.chosen, pairs.rejected]))
    said = texts.of(both)
    text, ids = (said[name].combine_chunks() for name in WANTED)
    names = pa.array(answers.languages, pa.string())
    prompt = both.prompt[:count]
    columns = {
        "prompt_id": pa.array(answers.prompt_ids, pa.string()).take(pa.array(prompt)),
        "language": names.take(pa.array(pairs.prompt_language)),
        "prompt": prompts.messages.take(pa.array(prompts.rows[prompt, pairs.prompt_language])),
        "chosen": as_answers(text.slice(0, count)),
        "rejected": as_answers(text.slice(count)),
        "pool_size": pairs.pool_size,
        "pool_min": pairs.pool_min,
        "pool_mean": pairs.pool_mean,
        "pool_std": pairs.pool_std,
        "source": pa.array(answers.sources, pa.string()).take(pa.array(both.source[:count])),
    }
    for side, part in (("chosen", slice(0, count)), ("rejected", slice(count, 2 * count))):
        columns[f"{side}_score"] = both.reward[part]
        columns[f"{side}_language"] = names.take(pa.array(both.language[part]))
        columns[f"{side}_sample"] = both.sample[part].astype(np.int64)
        columns[f"{side}_tokens"] = both.tokens[part].astype(np.int64)
        columns[f"{side}_token_ids"] = ids.slice(part.start, count)
    return pa.table([pa.array(columns[name]).cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA)
