"""Proxy against gold over training: what the reward model and the grader say of held-out answers after each quarter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from croco.artifacts.records import Generation, Prompt
from croco.artifacts.store import Store
from croco.engines.base import Answered
from croco.engines.hf import HFScorer
from croco.evals.comparing import by_step as steps_of
from croco.evals.comparing import paired, stored
from croco.evals.comparing.stored import Run
from croco.exchange import library
from croco.models.checkpoints import Checkpoint
from croco.tiny import world

ARMS = ("beta_0.01", "beta_0.1", "beta_1.0")
EVALUATION = "checkpoints"


def by_step(runs: Sequence[Run], languages: Sequence[str]) -> list[dict[str, float]]:
    """Per step: mean over languages and seeds of reward (`proxy`) and quality (`gold`) of answers to open tasks, with the lowest
    and highest seed's."""
    of_seeds = [_of_run(run, languages) for run in runs]
    steps = sorted(set.intersection(*(set(of) for of in of_seeds)))
    return [_point(step, np.array([of[step] for of in of_seeds])) for step in steps]


def _point(step: int, values: np.ndarray[Any, Any]) -> dict[str, float]:
    found: dict[str, float] = {"step": step}
    for column, name in enumerate(("proxy", "gold")):
        of = values[:, column]
        found |= {name: float(of.mean()), f"{name}_low": float(of.min()), f"{name}_high": float(of.max())}
    return found


def _of_run(run: Run, languages: Sequence[str]) -> dict[int, tuple[float, float]]:
    scorer = HFScorer(Checkpoint(str(run.configuration["reward.path"])), 512, 16384)
    opened = library.Run(run)
    total = Store.open(run.report.root / run.lineage["training"]).summary["steps"]
    gold = paired.scores(stored.results(run, EVALUATION))
    found = {}
    for step, stage in _answers(opened, total).items():
        system = steps_of.system(step, total)
        proxies = [_proxy(opened, scorer, stage, language) for language in languages]
        golds = [
            float(np.mean([v for p, v in gold["quality", system][language].items() if p.split("/")[0] in world.OPEN]))
            for language in languages
        ]
        found[step] = float(np.mean(proxies)), float(np.mean(golds))
    return found


def _answers(opened: library.Run, total: int) -> dict[int, str]:
    """Step -> the stage that answered after it."""
    names = {name.split("/")[0] for name in opened.lineage}
    steps = {int(found[1]): name for name in names if (found := re.fullmatch(r"answers_(\d+)", name))}
    return {0: "answers_base", **steps, total: "answers_tuned"}


def _proxy(opened: library.Run, scorer: HFScorer, stage: str, language: str) -> float:
    prompts = Store.open(opened.lineage[f"prompts/{language}"]).rows("prompts", Prompt)
    asked = {p.prompt_id: p for p in prompts if p.split == "heldout" and p.prompt_id.split("/")[0] in world.OPEN}
    answers = Store.open(opened.lineage[f"{stage}/{language}"]).rows("generations", Generation)
    rows = [Answered(asked[a.prompt_id].messages, a.text, language, "{}") for a in answers if a.prompt_id in asked]
    return float(np.mean([reward for reward in scorer.score(rows) if reward is not None]))
