"""The texts and ids of answers, by position, from generations on disk: a few row groups in memory at a time, never a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from croco.artifacts import records
from croco.errors import UserError
from croco.pairing.answers import Answers

WANTED = ("text", "token_ids")


class Texts:
    """Random access to the generations behind `Answers`, in the same order of sources and files."""

    def __init__(self, files: Mapping[str, Sequence[Path]]) -> None:
        self._groups: list[list[tuple[Path, int]]] = []  # per source: (file, row group)
        self._footers: dict[Path, pq.FileMetaData] = {}  # read once: there are as many reads as row groups
        self._bounds: list[NDArray[np.int64]] = []  # per source: first row of each row group, then the number of rows
        for paths in files.values():
            groups, sizes = [], [0]
            for path in paths:
                metadata = self._footers[path] = pq.ParquetFile(path).metadata
                groups += [(path, g) for g in range(metadata.num_row_groups)]
                sizes += [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
            self._groups.append(groups)
            self._bounds.append(np.cumsum(sizes))
        # Arrow releases the interpreter's lock while it reads, and one reader keeps one core busy.
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def close(self) -> None:
        self._threads.shutdown()

    def of(self, answers: Answers) -> pa.Table:
        """(N,) rows of WANTED, one of each answer.

        Raises:
            UserError: the generation at an answer's position is another one.
        """
        prompt_ids, languages = pa.array(answers.prompt_ids, pa.string()), pa.array(answers.languages, pa.string())
        keys = pa.table(
            {
                "prompt_id": prompt_ids.take(pa.array(answers.prompt)),
                "language": languages.take(pa.array(answers.language)),
                "sample": pa.array(answers.sample, pa.int64()),
            }
        )
        parts: list[tuple[NDArray[np.int64], pa.Table]] = []
        for source in range(len(self._groups)):
            wanted = np.flatnonzero(answers.source == source)
            wanted = wanted[np.argsort(answers.row[wanted], kind="stable")]
            group = np.searchsorted(self._bounds[source], answers.row[wanted], side="right") - 1
            cuts = np.flatnonzero(np.append(True, group[1:] != group[:-1])) if len(group) else np.empty(0, int)
            pieces = np.split(wanted, cuts[1:])
            reads = self._threads.map(
                lambda piece, g, s=source: self._read(answers.row[piece], keys, piece, s, int(g)), pieces, group[cuts]
            )
            parts += zip(pieces, reads, strict=False)
        if not parts:
            schema = records.schema(records.Generation)
            return pa.schema([schema.field(name) for name in WANTED]).empty_table()
        order = np.concatenate([positions for positions, _ in parts])
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.arange(len(order))
        return pa.concat_tables([rows for _, rows in parts]).take(pa.array(inverse)).combine_chunks()

    def _read(
        self, row: NDArray[np.int64], keys: pa.Table, positions: NDArray[np.int64], source: int, group: int
    ) -> pa.Table:
        path, number = self._groups[source][group]
        names = keys.column_names
        file = pq.ParquetFile(path, metadata=self._footers[path], memory_map=True, read_dictionary=names[:2])
        table = file.read_row_group(number, [*names, *WANTED], use_threads=False)
        table = table.take(pa.array(row - self._bounds[source][group]))
        expected = keys.take(pa.array(positions))
        if not all(pc.all(pc.equal(table[name].cast(expected[name].type), expected[name])).as_py() for name in names):
            raise UserError(f"{path}: its rows are not those that were scored; remove the scores and run again")
        return table.select(WANTED)

    def stream(self) -> Iterator[tuple[int, int, pa.Array]]:
        """(source, position of the first, texts) of each row group, in order."""
        for source, groups in enumerate(self._groups):
            for (path, number), first in zip(groups, self._bounds[source], strict=False):
                file = pq.ParquetFile(path, metadata=self._footers[path])
                yield source, int(first), file.read_row_group(number, ["text"])["text"].combine_chunks()
