"""Proxy against gold over training, of the open tasks: what the runs' own tables say after each quarter, over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from croco.artifacts.store import Store
from croco.evals.comparing import by_step as steps_of
from croco.evals.comparing import paired, stored
from croco.evals.comparing.overoptimisation import PROXY
from croco.evals.comparing.stored import Run
from croco.tiny import world

ARMS = ("beta_0.01", "beta_0.1", "beta_1.0")
EVALUATION = "checkpoints"
METRICS = {"proxy": PROXY, "gold": "quality"}


def by_step(runs: Sequence[Run], languages: Sequence[str]) -> list[dict[str, float]]:
    """Per look: mean over languages and seeds of reward (`proxy`) and quality (`gold`) of answers to open tasks, with the lowest
    and highest seed's. Seeds differ by a few pairs, and so by a few steps: looks are held together by their number."""
    of_seeds = [sorted(_of_run(run, languages).items()) for run in runs]
    return [_point(*zip(*looks, strict=True)) for looks in zip(*of_seeds, strict=True)]


def _point(steps: Sequence[int], of_seeds: Sequence[tuple[float, ...]]) -> dict[str, float]:
    values = np.array(of_seeds)
    found: dict[str, float] = {"step": round(float(np.mean(steps)))}
    for column, name in enumerate(METRICS):
        of = values[:, column]
        found |= {name: float(of.mean()), f"{name}_low": float(of.min()), f"{name}_high": float(of.max())}
    return found


def _of_run(run: Run, languages: Sequence[str]) -> dict[int, tuple[float, ...]]:
    steps = Store.open(run.report.root / run.lineage[EVALUATION]).summary["steps"]
    scores = paired.scores(stored.results(run, EVALUATION))
    systems = {step: steps_of.system(step, steps[-1]) for step in steps}
    return {
        step: tuple(_open(scores[metric, system], languages) for metric in METRICS.values())
        for step, system in systems.items()
    }


def _open(scores: paired.Scores, languages: Sequence[str]) -> float:
    """Mean over languages of that over their open prompts."""
    of = [[v for prompt, v in scores[language].items() if prompt.split("/")[0] in world.OPEN] for language in languages]
    return float(np.mean([np.mean(values) for values in of]))
