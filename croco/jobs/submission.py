"""What a sweep that is submitted will make: each artifact once, however many of its jobs want it, and what that may cost.

Jobs in a queue never wait for one another's answers and rewards: they share them unit by unit (`workers.share`), so that a GPU
that a job holds works. What is left to wait for (pairs, the same adapter) takes moments, or is the last thing a job does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from croco import tracking
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.config import Config
from croco.jobs import work
from croco.jobs.chain import Chain
from croco.show.progress import Progress
from croco.show.tables import Table


def plan(configs: Sequence[Config]) -> Table:
    """What the jobs of a sweep will make together, and how often it would be made, or waited for, job by job."""
    from croco.stages import stages

    wanted: dict[str, dict[str, list[float]]] = defaultdict(dict)  # stage -> address -> hours, one entry for each job
    for config in configs:
        store = Store(Path(config.paths.artifacts))
        planned = Chain(config, store, Progress(), tracking.silence()).plan(stages())
        for stage, made in planned.items():
            for artifact in made.by_language.values() if isinstance(made, Artifacts) else (made,):
                if isinstance(artifact, Artifact) and not artifact.sealed:
                    wanted[stage].setdefault(artifact.address, []).append(work.gpu_hours(stage, config))
    rows = [
        (stage, len(found), max(map(len, found.values())), sum(hours[0] for hours in found.values()))
        for stage, found in wanted.items()
    ]
    total = sum(row[3] for row in rows)
    return Table(
        f"{len(configs)} jobs: what they make",
        ("stage", "to make", "wanted by jobs, at most", "GPU hours"),
        rows,
        f"{total:,.1f} GPU hours by the rates of docs/scale.md, whatever the number of jobs: what several want they share, unit "
        "by unit, and none holds a GPU to wait for another's answers or rewards. Neither online rounds nor what is measured by "
        "step is counted.",
    )


def sharing(config: Config) -> Config:
    """In a sweep that was submitted to a queue jobs share what they have in common instead of waiting for it."""
    if not HydraConfig.initialized() or config.workers.share:
        return config
    settings = HydraConfig.get()
    queued = settings.mode == RunMode.MULTIRUN and "SlurmLauncher" in str(settings.launcher.get("_target_"))
    return replace(config, workers=replace(config.workers, share=True)) if queued else config
