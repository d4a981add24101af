"""Artifacts: folders of rows on disk, addressed by exactly what they depend on.

    <root>/<stage>/<words>-<address>/   the address decides, the words are for a person
        plan.json                what the artifact will be, while it is made
        progress.json            how much of it there is, while it is made
        journal/<writer>.jsonl   rows while the stage runs, appended and synced as they come
        <table>.parquet          rows once the artifact is sealed
        manifest.json            written last: an artifact without it is not finished

The address is the SHA-256 of (stage, stage version, config slice, upstream addresses, content of input files). Two jobs that
need the same artifact share it: one computes under the lock, the other waits and finds it sealed. A killed job leaves its
journal, whose complete lines the next one takes over. Where several compute one artifact together, see sharing.py.
"""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from croco.artifacts import locks, provenance, records, refusals
from croco.artifacts.addresses import address as address
from croco.artifacts.addresses import canonical as canonical
from croco.artifacts.addresses import folder_of, plain
from croco.artifacts.files import as_files, bytes_of, content_of, damaged, digest_of, read_json, whole, write_atomically
from croco.artifacts.journal import Journal, complete_lines, in_order
from croco.errors import UserError

ROW_GROUP = 8192
PLAN = "plan.json"
PROGRESS = "progress.json"
PASSING = (PLAN, PROGRESS, "journal", "checkpoints", "job")
"""Of an artifact's folder, what is there while it is made, or to go on with."""
IDENTITY = ("stage", "address", "version", "config", "upstream")


@dataclass
class Artifact:
    """One artifact of the store, finished or not."""

    root: Path
    stage: str
    address: str
    version: int
    config: dict[str, Any]
    upstream: dict[str, str]
    provenance: dict[str, Any] = field(default_factory=dict)
    """What the manifest records besides the address: resolved run config, seed."""
    writers: dict[str, int] = field(default_factory=dict)
    """Rows of each journal that went into a sealed table."""
    words: str = ""
    """Before the address in its folder's name, if this is the first to make the folder."""

    @functools.cached_property
    def path(self) -> Path:
        """Its folder; another job may have made it under other words."""
        stage = self.root / self.stage
        return folder_of(stage, self.address) or stage / f"{self.words}-{self.address}".lstrip("-")

    @property
    def sealed(self) -> bool:
        return (self.path / "manifest.json").is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        return read_json(self.path / "manifest.json")

    @property
    def summary(self) -> dict[str, Any]:
        """What the stage said of itself when it sealed: counts, rates, decisions."""
        return self.manifest["summary"]

    @contextmanager
    def lock(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the artifact for writing; `waiting` is called once when another job holds it."""
        for part in (self.path, self.path / "journal"):
            if part.is_symlink() and not part.resolve().is_relative_to(self.root.resolve()):
                raise UserError(f"{part}: a link out of {self.root}; put a folder in its place")
        self._make_folder()
        with locks.held(self.path, waiting=waiting):
            yield

    def _make_folder(self) -> None:
        """One folder, whatever words the jobs that want it have for it."""
        if self.path.is_dir():
            return
        try:
            (self.root / self.stage).mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.root / ".folders.lock"):
                del self.path  # it is looked for again
                self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise refusals.in_the_way(Path(error.filename or self.path), error) from None

    def begin(self) -> None:
        """Say beside the journals what they will be, so that others can use what a killed job has left."""
        plan = {name: getattr(self, name) for name in IDENTITY}
        write_atomically(self.path / PLAN, json.dumps(plain(plan), ensure_ascii=False) + "\n")

    def journal(self, writer: str = "0") -> Journal:
        return Journal(self.path / "journal" / f"{writer}.jsonl")

    def journalled(self, writer: str = "*") -> Iterator[tuple[Path, int, dict[str, Any]]]:
        """(file, byte offset, row) of every complete line of all journals, or of one writer's."""
        yield from complete_lines(sorted((self.path / "journal").glob(f"{writer}.jsonl")))

    def seal_journal(self, table: str, row_type: type, order: Callable[[dict[str, Any]], Any]) -> int:
        """Turn the journals into `<table>.parquet`, rows sorted by `order`, the first of equal rows kept; returns the count."""
        self.writers = {}

        def rows() -> Iterator[dict[str, Any]]:
            for path, row in in_order(sorted((self.path / "journal").glob("*.jsonl")), order):
                self.writers[path.stem] = self.writers.get(path.stem, 0) + 1
                yield row

        return self.write_table(table, records.schema(row_type), rows())

    def write_table(self, table: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write `<table>.parquet` through a temporary file, in row groups; returns the number of rows."""
        self._make_folder()
        final = self.path / f"{table}.parquet"
        for left in self.path.glob(f"{table}.*.tmp"):  # of a killed run: who writes a table is alone
            left.unlink(missing_ok=True)
        count = 0
        with (
            whole(final) as temporary,
            pq.ParquetWriter(temporary, schema, compression=records.compression(schema)) as writer,
        ):
            group: list[Mapping[str, Any]] = []
            for row in rows:
                group.append(row)
                if len(group) == ROW_GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
                    count += len(group)
                    group = []
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
        return count

    def _side_files(self) -> Iterator[Path]:
        """What lies beside the tables and is read by others: adapters, settings, curves; nothing that passes."""
        for path in sorted(self.path.rglob("*")):
            first = path.relative_to(self.path).parts[0]
            passing = first in (*PASSING, "manifest.json") or first.startswith(".") or path.suffix in (".tmp", ".log")
            if path.is_file() and not path.is_symlink() and not passing and path.suffix != ".parquet":
                yield path

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table."""
        return [self.path / f"{table}.parquet"]

    def table(self, table: str, columns: list[str] | None = None) -> pa.Table:
        file = self.path / f"{table}.parquet"
        try:
            return pq.read_table(file, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise damaged(file, error) from None

    def rows(self, table: str, row_type: type) -> list[Any]:
        """All rows of a table as `row_type`."""
        return [row_type(**row) for row in self.table(table).to_pylist()]

    def batches(self, table: str, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """A table that memory need not hold, at most so many rows at a time."""
        file = self.path / f"{table}.parquet"
        try:
            yield from pq.ParquetFile(file).iter_batches(batch_size=rows, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise damaged(file, error) from None

    def verify(self, rows_alone: bool = False) -> None:
        """See that the files are those that were sealed: all are there and have their size, and the content of those up to 64 MiB
        is what it was. With `rows_alone`, the tables alone.

        Raises:
            UserError: one is not; names it and what to do.
        """
        said = self.manifest
        beside = {} if rows_alone else said.get("files", {})
        for name, known in {**beside, **as_files(said.get("tables", {}))}.items():
            file = self.path / name
            if not file.is_file():
                raise damaged(file, "is gone")
            size = known.get("bytes", file.stat().st_size)
            if file.stat().st_size != size:
                raise damaged(file, f"{file.stat().st_size:,} bytes where {size:,} were sealed")
            if size <= provenance.WHOLE_FILE_LIMIT and digest_of(file) != known["sha256"]:
                raise damaged(file, "its content is not what was sealed")

    def seal(self, summary: Mapping[str, Any], seconds: float, memory: Mapping[str, int] | None = None) -> None:
        """Write the manifest, the sign of completeness, then drop the journals; `memory` is what it took (jobs/memory.py)."""
        manifest = {
            **{name: getattr(self, name) for name in IDENTITY},
            "summary": dict(summary),
            "tables": {path.stem: content_of(path) for path in sorted(self.path.glob("*.parquet"))},
            "files": {str(path.relative_to(self.path)): bytes_of(path) for path in self._side_files()},
            **({"writers": self.writers} if self.writers else {}),
            "seconds": round(seconds, 3),
            "memory": dict(memory or {}),
            "sealed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **provenance.of_this_process(),
            **self.provenance,
        }
        write_atomically(self.path / "manifest.json", json.dumps(plain(manifest), indent=2, ensure_ascii=False) + "\n")
        shutil.rmtree(self.path / "journal", ignore_errors=True)
        for passing in (PLAN, PROGRESS):
            (self.path / passing).unlink(missing_ok=True)


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of several languages, read as one: rows by language, in the order given."""

    by_language: dict[str, Artifact]

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table, in the order of the languages."""
        return [file for artifact in self.by_language.values() for file in artifact.files(table)]

    def table(self, table: str, columns: list[str] | None = None) -> pa.Table:
        return pa.concat_tables(artifact.table(table, columns) for artifact in self.by_language.values())

    def batches(self, table: str, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """A table that memory need not hold, at most so many rows at a time."""
        for artifact in self.by_language.values():
            yield from artifact.batches(table, columns, rows)

    def rows(self, table: str, row_type: type) -> list[Any]:
        """All rows of a table as `row_type`."""
        return [row_type(**row) for row in self.table(table).to_pylist()]

    @property
    def summary(self) -> dict[str, Any]:
        """The summaries by language."""
        return {language: artifact.summary for language, artifact in self.by_language.items()}


class Store:
    """The folder of all artifacts."""

    def __init__(self, root: Path | str, provenance: Mapping[str, Any] | None = None) -> None:
        self.root = Path(root)
        self.provenance = dict(provenance or {})

    def artifact(
        self,
        stage: str,
        version: int,
        config: Mapping[str, Any],
        upstream: Mapping[str, Artifact | Artifacts] | None = None,
        words: str = "",
    ) -> Artifact:
        """The artifact of a stage with this config slice and these artifacts before it, whether it exists yet or not."""
        addresses: dict[str, str] = {}
        for name, before in (upstream or {}).items():
            if isinstance(before, Artifacts):
                addresses |= {f"{name}/{language}": a.address for language, a in before.by_language.items()}
            else:
                addresses[name] = before.address
        return Artifact(
            root=self.root,
            stage=stage,
            address=address(stage, version, config, addresses),
            version=version,
            config=dict(config),
            upstream=addresses,
            provenance=self.provenance,
            words=words,
        )

    def find(self, stage: str, prefix: str) -> Artifact:
        """The sealed artifact of a stage whose address, or folder's name, starts with `prefix`.

        Raises:
            UserError: none, or more than one, does.
        """
        sealed = (p.parent for p in (self.root / stage).glob("*/manifest.json"))
        found = sorted(p for p in sealed if p.name.startswith(prefix) or p.name.rpartition("-")[2].startswith(prefix))
        if len(found) != 1:
            raise UserError(f"{self.root / stage}: {len(found)} finished artifacts start with '{prefix}', expected one")
        return self.open(found[0])

    @staticmethod
    def open(path: Path) -> Artifact:
        """A sealed artifact from its folder.

        Raises:
            UserError: the folder holds no manifest.
        """
        if not (path / "manifest.json").is_file():
            raise UserError(f"{path}: not a finished artifact (it has no manifest.json)")
        return Store._read(path / "manifest.json")

    @staticmethod
    def begun(path: Path) -> Artifact | None:
        """An artifact from its folder, sealed or not; None when the folder says nothing of itself."""
        for name in (PLAN, "manifest.json"):  # in the order in which they go and come
            try:
                return Store._read(path / name)
            except (OSError, UserError):  # none, or one of something else
                continue
        return None

    @staticmethod
    def _read(file: Path) -> Artifact:
        said = read_json(file)
        if missing := [name for name in IDENTITY if name not in said]:
            raise damaged(file, f"no {missing[0]}")
        return Artifact(root=file.parent.parent.parent, **{name: said[name] for name in IDENTITY})
