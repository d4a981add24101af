"""What the processes of a training run are handed: files of data alone, so that nothing in an artifact's folder is code.

job/job.json          the configuration, where the run begins, where it lies, and the prompts it watches
job/train/            which examples of the encoded data it takes (examples.py); likewise validation/
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from croco.config import Config
from croco.training.data import Examples, Material, Probe
from croco.training.start import Start

PEAK = "peak"  # bytes of a device that one of the processes held at most


def write(job: Path, config: Config, material: Material, folder: Path, store: Path) -> None:
    """Write everything a process needs below `job`, which is made anew."""
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir(parents=True)
    said = {
        "config": _plain(dataclasses.asdict(config)),
        "start": _plain(dataclasses.asdict(material.start)),
        "folder": str(folder),
        "store": str(store),
        "probes": [{"prompt": list(map(int, p.prompt)), "language": p.language} for p in material.probes],
    }
    (job / "job.json").write_text(json.dumps(said), encoding="utf-8")
    for name, examples in (("train", material.train), ("validation", material.validation)):
        Examples.of(examples).save(job / name)


def read(job: Path) -> tuple[Config, Material, Path, Path]:
    """(configuration, material, folder of the run, root of all artifacts), as they were written."""
    said = json.loads((job / "job.json").read_text(encoding="utf-8"))
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), _literal(said["config"])))
    paths = ("adapter", "before", "reference")
    begin: dict[str, Any] = {
        name: Path(value) if name in paths and value is not None else value for name, value in said["start"].items()
    }
    train, validation = (Examples.load(job / name) for name in ("train", "validation"))
    probes = [Probe(**probe) for probe in said["probes"]]
    return config, Material(train, validation, probes, Start(**begin)), Path(said["folder"]), Path(said["store"])


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
