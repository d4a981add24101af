"""What the processes of a training run are handed: files of data alone, so that nothing in an artifact's folder is code.

job/job.json          the configuration, where the run begins, and where it lies
job/train.parquet     its examples, as token ids; likewise validation.parquet and probes.parquet
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from croco.config import Config
from croco.training.data import Example, Material, Probe
from croco.training.start import Start

IDS = pa.list_(pa.int32())
EXAMPLES = pa.schema([("prompt", IDS), ("answers", pa.list_(IDS)), ("margin", pa.float64()), ("tied", pa.bool_())])
PROBES = pa.schema([("prompt", IDS), ("language", pa.string())])
BLOCK = 4096  # rows


def write(job: Path, config: Config, material: Material, folder: Path, store: Path) -> None:
    """Write everything a process needs below `job`, which is made anew."""
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir(parents=True)
    said = {
        "config": _plain(dataclasses.asdict(config)),
        "start": _plain(dataclasses.asdict(material.start)),
        "folder": str(folder),
        "store": str(store),
    }
    (job / "job.json").write_text(json.dumps(said), encoding="utf-8")
    for name, examples in (("train", material.train), ("validation", material.validation)):
        rows = (
            {"prompt": list(e.prompt), "answers": [list(a) for a in e.answers], "margin": e.margin, "tied": e.tied}
            for e in examples
        )
        _write(job / f"{name}.parquet", EXAMPLES, rows)
    probes = ({"prompt": list(p.prompt), "language": p.language} for p in material.probes)
    _write(job / "probes.parquet", PROBES, probes)


def read(job: Path) -> tuple[Config, Material, Path, Path]:
    """(configuration, material, folder of the run, root of all artifacts), as they were written."""
    said = json.loads((job / "job.json").read_text(encoding="utf-8"))
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), _literal(said["config"])))
    paths = ("adapter", "before", "reference")
    begin: dict[str, Any] = {
        name: Path(value) if name in paths and value is not None else value for name, value in said["start"].items()
    }
    train, validation = (_examples(job / f"{name}.parquet") for name in ("train", "validation"))
    probes = [Probe(row["prompt"], row["language"]) for row in pq.read_table(job / "probes.parquet").to_pylist()]
    return config, Material(train, validation, probes, Start(**begin)), Path(said["folder"]), Path(said["store"])


def _examples(file: Path) -> list[Example]:
    return [
        Example(row["prompt"], tuple(row["answers"]), row["margin"], row["tied"])
        for batch in pq.ParquetFile(file).iter_batches(batch_size=BLOCK)
        for row in batch.to_pylist()
    ]


def _write(file: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    with pq.ParquetWriter(file, schema, compression="lz4") as writer:
        block: list[dict[str, Any]] = []
        for row in rows:
            block.append(row)
            if len(block) == BLOCK:
                writer.write_table(pa.Table.from_pylist(block, schema=schema))
                block = []
        writer.write_table(pa.Table.from_pylist(block, schema=schema))


def _plain(value: Any) -> Any:
    """In JSON's types; a path as its text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _literal(value: Any) -> Any:
    """Values are resolved already: what looks like an interpolation in them is text."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value
