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
from croco.jobs.chain import Chain
from croco.show.progress import Progress
from croco.show.tables import Table

ANSWER, PROMPT = 400, 200  # tokens
WRITES, READS = (
    12_000,
    25_000,
)  # tokens/s of a policy of 9B that answers and of an 8B reward model, on a GPU of the 80 GB class
PAIR = 0.1  # seconds that training takes for one
"""Assumed, as in docs/scale.md."""
ANSWERING = ("generations", "other_generations", "answers_base", "answers_tuned", "checked_base", "checked_tuned")


def gpu_hours(stage: str, config: Config) -> float:
    """Of one artifact, by the configuration's numbers and the rates above; 0 where no GPU is needed."""
    prompts, samples = config.prompts, config.sampling.samples
    answer = min(ANSWER, config.sampling.max_new_tokens)
    many = len(config.lang.languages)
    if stage in ("generations", "other_generations"):
        seconds = prompts.train * samples * answer / WRITES
    elif stage in ("scores", "other_scores"):
        seconds = prompts.train * samples * (PROMPT + answer) / READS
    elif stage == "translations":
        seconds = (prompts.train + prompts.heldout) * PROMPT / WRITES
    elif stage in ANSWERING:
        seconds = prompts.heldout * answer / WRITES
    elif stage == "training":
        pools = prompts.train * (many if config.pairing.scope == "mono" else 1)
        seconds = pools * config.pairing.pairs_per_pool * config.method.epochs * PAIR
    else:
        seconds = 0.0
    return seconds / 3600


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
                    wanted[stage].setdefault(artifact.address, []).append(gpu_hours(stage, config))
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
        "by unit, and none holds a GPU to wait for another's answers or rewards. Online rounds are not counted.",
    )


def sharing(config: Config) -> Config:
    """In a sweep that was submitted to a queue jobs share what they have in common instead of waiting for it."""
    if not HydraConfig.initialized() or config.workers.share:
        return config
    settings = HydraConfig.get()
    queued = settings.mode == RunMode.MULTIRUN and "SlurmLauncher" in str(settings.launcher.get("_target_"))
    return replace(config, workers=replace(config.workers, share=True)) if queued else config
