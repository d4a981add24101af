"""All scored answers as columns of numbers; their texts stay on disk.

9 million answers take about 300 MB: prompts, languages and samples are codes, never strings per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from croco.errors import UserError

COLUMNS = ["prompt_id", "language", "sample", "reward", "tokens", "finish_reason"]
KINDS = {
    "prompt": np.int32,
    "language": np.int16,
    "sample": np.int32,
    "reward": np.float64,
    "tokens": np.int32,
    "truncated": np.bool_,
    "end_known": np.bool_,
    "source": np.int8,
    "row": np.int64,
}
UNKNOWN = "unknown"
"""The `finish_reason` of an answer whose data do not say it."""
KEYS = ["prompt_id", "language", "finish_reason"]


@dataclass(frozen=True)
class Answers:
    """N answers in pool order within each (prompt, language) file order; `prompt_ids` and `languages` are sorted."""

    prompt_ids: list[str]
    languages: list[str]
    sources: list[str]
    prompt: NDArray[np.int32]
    """(N,) index into prompt_ids."""
    language: NDArray[np.int16]
    sample: NDArray[np.int32]
    reward: NDArray[np.float64]
    """(N,) NaN where scoring failed."""
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    end_known: NDArray[np.bool_]
    """(N,) whether it is known that an answer ended or was cut off; of answers from elsewhere it may not be."""
    source: NDArray[np.int8]
    """(N,) index into sources."""
    row: NDArray[np.int64]
    """(N,) position in the generations of its source, all files one after the other."""
    disagreement: NDArray[np.float64] | None = None
    """(N,) standard deviation among the members of the ensemble that scored, NaN of one model; None where not asked for."""

    def __len__(self) -> int:
        return len(self.prompt)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Answers:
        """The answers at these positions, or where this mask holds."""
        arrays = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, **arrays)

    def in_pool_order(self) -> Answers:
        """Sorted by prompt, language, sample."""
        key = (self.prompt.astype(np.int64) * len(self.languages) + self.language) * (
            int(self.sample.max(initial=0)) + 1
        )
        key += self.sample
        return self if (key[1:] >= key[:-1]).all() else self.take(np.argsort(key, kind="stable"))


class _Codes:
    """Numbers for strings, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def column(self, column: pa.ChunkedArray) -> NDArray[np.int32]:
        parts = [np.empty(0, np.int32)]
        for chunk in column.chunks:
            table = np.array([self.of.setdefault(v, len(self.of)) for v in chunk.dictionary.to_pylist()], np.int32)
            parts.append(table[chunk.indices.to_numpy()])
        return np.concatenate(parts)

    def sort(self) -> tuple[list[str], NDArray[np.int32]]:
        """(strings sorted, new code of each old code)."""
        names = sorted(self.of)
        new = np.empty(len(names), np.int32)
        for code, name in enumerate(names):
            new[self.of[name]] = code
        return names, new


def read(files: Mapping[str, Sequence[Path]], disagreement: bool = False) -> Answers:
    """The score tables of each source, file by file, without any text; the members' `disagreement` where it is asked for.

    Raises:
        UserError: an answer is scored twice.
    """
    tables = [(code, path) for code, paths in enumerate(files.values()) for path in paths]
    total = sum(pq.ParquetFile(path).metadata.num_rows for _, path in tables)
    columns: dict[str, Any] = {name: np.empty(total, kind) for name, kind in KINDS.items()}
    if disagreement:
        columns["disagreement"] = np.full(total, np.nan)
    prompts, languages = _Codes(), _Codes()
    begin, rows_of_source = 0, [0] * len(files)
    for source, path in tables:
        file = pq.ParquetFile(path, read_dictionary=KEYS)
        told = disagreement and "disagreement" in file.schema_arrow.names  # ready-made scores may not have it
        table = file.read([*COLUMNS, "disagreement"] if told else COLUMNS)
        part = slice(begin, begin + table.num_rows)
        reasons = _Codes()
        reason = reasons.column(table["finish_reason"])
        columns["end_known"][part] = reason != reasons.of.get(UNKNOWN, -1)
        columns["truncated"][part] = (reason != reasons.of.get("stop", -1)) & columns["end_known"][part]
        columns["prompt"][part] = prompts.column(table["prompt_id"])
        columns["language"][part] = languages.column(table["language"])
        for name in ("sample", "reward", "tokens"):
            columns[name][part] = table[name].to_numpy()
        if told:
            columns["disagreement"][part] = table["disagreement"].to_numpy()
        columns["source"][part] = source
        first = rows_of_source[source]
        columns["row"][part] = np.arange(first, first + table.num_rows)
        rows_of_source[source] += table.num_rows
        begin = part.stop
    prompt_ids, new_prompt = prompts.sort()
    language_names, new_language = languages.sort()
    columns["prompt"] = new_prompt[columns["prompt"]]
    columns["language"] = new_language[columns["language"]].astype(np.int16)
    answers = Answers(prompt_ids, language_names, list(files), **columns).in_pool_order()
    _check_unique(answers)
    return answers


def _check_unique(answers: Answers) -> None:
    columns = (answers.prompt, answers.language, answers.sample)
    same = np.logical_and.reduce([c[1:] == c[:-1] for c in columns]) if len(answers) else np.empty(0, bool)
    twice = np.flatnonzero(same & (answers.source[1:] == answers.source[:-1]))
    if len(twice):
        prompt, language, sample = (int(column[twice[0]]) for column in columns)
        raise UserError(
            f"sample {sample} of prompt {answers.prompt_ids[prompt]} in {answers.languages[language]} is scored twice"
        )
