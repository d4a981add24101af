"""What the doctor can say of a queue and a disk, on a machine that has neither a GPU nor a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from croco.config import Config
from croco.errors import UserError
from croco.jobs import plan
from croco.jobs.capacity import Hardware
from croco.jobs.findings import Finding
from croco.jobs.parts import of_training
from croco.jobs.rates import Rates

SECONDS = 30  # for `sinfo` to answer
ANY = Hardware("any", 1024, 1e15)
"""Of which nothing is asked but what is written."""


def disk(config: Config) -> Finding:
    """What the run writes, by the plan's rates, against what is free where its artifacts go."""
    folder = Path(config.paths.artifacts).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    try:
        rows = list(plan.reckon(config, ANY, Rates()))
    except UserError as error:
        return Finding(
            "disk", "skip", f"what is written cannot be told ({error}); {folder} has {free / 1e9:,.1f} GB free"
        )
    stays = sum(row.written for row in rows)
    passes = sum(Rates().journal * row.work.written * row.languages for row in rows)
    said = f"{stays / 1e9:,.1f} GB stay, up to {passes / 1e9:,.1f} more while they are made; {folder} has {free / 1e9:,.1f} free"
    return Finding("disk", "ok" if stays + passes <= free else "warn", said)


def slurm(config: Config, launcher: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether SLURM answers, and knows the partitions and the GPUs that the launcher would ask for."""
    said = _sinfo()
    if isinstance(said, str):
        yield Finding("SLURM", "fail", said)
        return
    known = ", ".join(sorted(said))
    without: Mapping[str, Any] = launcher.get("without_gpu") or {}
    wants = of_training(config).gpus if not launcher.get("gres") else 0
    for key, partition in (
        ("hydra.launcher.partition", launcher.get("partition")),
        ("hydra.launcher.without_gpu.partition", without.get("partition", launcher.get("partition"))),
    ):
        missing = [name for name in str(partition).split(",") if name not in said] if partition else []
        if missing:
            yield Finding("SLURM", "fail", f"{key}={partition}: there is no {missing[0]}; there are {known}")
            return
    asked = str(launcher.get("partition") or "").split(",")
    most = max((gpus for name, gpus in said.items() if name in asked or asked == [""]), default=0)
    if wants > most:
        yield Finding(
            "SLURM",
            "fail",
            f"trainer.devices={wants}: no node of {', '.join(filter(None, asked)) or known} has more than {most} GPUs",
        )
        return
    yield Finding("SLURM", "ok", f"partitions {known}; up to {most} GPUs a node where training goes")


def _sinfo() -> dict[str, int] | str:
    """Partitions -> GPUs of the node that has most; why not, where SLURM does not say."""
    command = ["sinfo", "--noheader", "--format=%R %G"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sinfo does not answer ({type(error).__name__}); is this a machine of the cluster?"
    if done.returncode != 0:
        return f"sinfo does not answer ({(done.stderr.strip().splitlines() or ['no word why'])[-1]})"
    found: dict[str, int] = {}
    for line in done.stdout.splitlines():
        name, _, resources = line.strip().partition(" ")
        gpus = sum(int(count) for count in re.findall(r"gpu(?::[^:,(]+)?:(\d+)", resources))
        found[name] = max(gpus, found.get(name, 0))
    return found
