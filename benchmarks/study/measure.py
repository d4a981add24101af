"""From the study's artifacts to docs/study.json: every number that the study says anywhere."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.study import arms, builds, claims, pools, proxy
from benchmarks.study.claims import BASE, OPEN, STRUCTURED, Contrast
from benchmarks.study.run import sweep
from croco.errors import UserError
from croco.evals.comparing import arms as by_seed
from croco.evals.comparing import paired, stored
from croco.evals.comparing.paired import MACRO, Effect, Scores
from croco.jobs import experiments
from croco.maths import statistics
from croco.tiny import world

QUALITY = "quality"
SETTINGS = paired.Settings(resamples=4_000, confidence=0.95, correction="none")
KEPT = ("difference", "low", "high", "p", "lowest", "highest", "prompts", "seeds")
EXPLORED = (
    ("mono", "text"),
    ("mono", "filtered"),
    ("mono", "margin"),
    ("mono", "ensemble"),
    ("mono", "agreed"),
    ("multi", "multi_z"),
    ("multi", "multi_rank"),
    ("mono", "multi"),
    ("mono", "max_r"),
    ("mono", "mono_k64"),
    ("noise_0", "noise_20"),
    ("noise_0", "noise_40"),
    ("mono", "icr"),
    ("mono", "mapo"),
)
"""Compared without a claim: first, second."""


class Study:
    """What the arms that are there scored, by task kind, metric and system."""

    def __init__(self, artifacts: Path) -> None:
        self.runs: dict[str, list[stored.Run]] = {}
        for arm in arms.ARMS:
            try:
                runs = experiments.runs_of(sweep(arm, artifacts))
            except UserError:
                continue
            self.runs[arm.name] = sorted(runs, key=lambda run: int(run.configuration["seed"]))
        self._scores = {run.report.address: stored.scores(run, QUALITY) for runs in self.runs.values() for run in runs}
        if not self.runs:
            raise UserError(f"{artifacts}: no arm of the study is done; python -m benchmarks.study")
        self.languages: list[str] = next(iter(self.runs.values()))[0].configuration["lang.languages"]

    def scores(self, arm: str, tasks: str, metric: str, beside: str = "mono") -> list[Scores]:
        """Seed by seed; `base` is the policy before training, the same in every run of the arm that it stands `beside`."""
        if arm == BASE:
            return [_of(self._scores[self.runs[beside][0].report.address][metric, BASE], tasks)]
        return [_of(self._scores[run.report.address][metric, "tuned"], tasks) for run in self.runs[arm]]

    def effects(self, first: str, second: str, tasks: str, metric: str = QUALITY, margin: float = 0.0) -> list[Effect]:
        """By language, then the mean; differences less `margin`."""
        before = [_raised(one, margin) for one in self.scores(first, tasks, metric, second)]
        return by_seed.effects(QUALITY, before, self.scores(second, tasks, metric), self.languages, SETTINGS)

    def has(self, *names: str) -> bool:
        return all(name == BASE or name in self.runs for name in names)


def _of(scores: Scores, tasks: str) -> Scores:
    kinds = world.OPEN if tasks == OPEN else world.STRUCTURED
    return {
        language: {prompt: value for prompt, value in of.items() if prompt.split("/")[0] in kinds}
        for language, of in scores.items()
    }


def _raised(scores: Scores, by: float) -> Scores:
    return {language: {prompt: value + by for prompt, value in of.items()} for language, of in scores.items()}


def _told(effect: Effect) -> dict[str, Any]:
    kept = {key: getattr(effect, key) for key in KEPT}
    return {"before": effect.first, "after": effect.second, **kept}


def _with_languages(effects: Sequence[Effect]) -> dict[str, Any]:
    return _told(effects[-1]) | {"languages": {row.language: _told(row) for row in effects if row.language != MACRO}}


def everything(artifacts: Path) -> dict[str, Any]:
    """The whole of docs/study.json but its table of a real model (real.py).

    Raises:
        UserError: nothing is there.
    """
    study = Study(artifacts)
    main = study.runs.get("mono", [])
    return {
        "machine": {"processor": platform.machine(), "torch": torch.__version__, "device": "cpu"},
        "languages": study.languages,
        "missing": [arm.name for arm in arms.ARMS if arm.name not in study.runs],
        "fewer_seeds": {
            name: len(runs) for name, runs in study.runs.items() if len(runs) < len(arms.BY_NAME[name].seeds)
        },
        "arms": {name: _arm(study, name) for name in study.runs},
        "claims": _claims(study),
        "explored": _explored(study),
        "ranking": pools.accuracy(main[0]) if main else None,
        "parallel": pools.apart(study.runs["noise_0"][0], study.runs["apart"][0])
        if study.has("noise_0", "apart")
        else None,
        "shares": builds.SHARES if study.has("uneven") else None,
        "pooling": {
            name: pools.contrast_of_languages(study.runs[name])
            for name in ("multi", "multi_z", "multi_rank")
            if study.has(name)
        },
        "steps": {name: proxy.by_step(study.runs[name], study.languages) for name in study.runs if name in proxy.ARMS},
    }


def _arm(study: Study, name: str) -> dict[str, Any]:
    runs = study.runs[name]
    seconds = [run.report.root / run.lineage["training"] for run in runs]
    return {
        "about": arms.BY_NAME[name].about,
        "words": list(arms.BY_NAME[name].words),
        "seeds": [run.configuration["seed"] for run in runs],
        OPEN: _with_languages(study.effects(BASE, name, OPEN)),
        STRUCTURED: _with_languages(study.effects(BASE, name, STRUCTURED)),
        "right_language": _told(study.effects(BASE, name, OPEN, "language")[-1]),
        "tokens": _told(study.effects(BASE, name, OPEN, "tokens")[-1]),
        "training_seconds": sum(_seconds(folder) for folder in seconds) / len(seconds),
    }


def _seconds(folder: Path) -> float:
    from croco.artifacts.store import Store

    return float(Store.open(folder).manifest.get("seconds", 0.0))


def _claims(study: Study) -> list[dict[str, Any]]:
    """Each contrast with its p over all contrasts of all claims, and what became of the claim."""
    rows = [(claim, one) for claim in claims.CLAIMS for one in claim.contrasts if study.has(one.first, one.second)]
    effects = [study.effects(one.first, one.second, one.tasks, one.metric, one.margin) for _, one in rows]
    corrected = statistics.adjusted([of[-1].p for of in effects], "holm")
    found: list[dict[str, Any]] = []
    for claim in claims.CLAIMS:
        of_claim = [
            _contrast(one, of, p)
            for (whose, one), of, p in zip(rows, effects, corrected, strict=True)
            if whose is claim
        ]
        found.append({"key": claim.key, "says": claim.says, "verdict": verdict(claim, of_claim), "contrasts": of_claim})
    return found


def _contrast(one: Contrast, effects: Sequence[Effect], p: float) -> dict[str, Any]:
    """Differences are shown as they are; p is of the margin."""
    shown = [
        replace(row, difference=row.difference + one.margin, low=row.low + one.margin, high=row.high + one.margin)
        for row in effects
    ]
    held = statistics.adjusted([row.p for row in effects[:-1]], "holm")
    agree = [
        row.language
        for row, of in zip(effects[:-1], held, strict=True)
        if of < claims.LEVEL and row.difference * one.sign > 0
    ]
    against = [
        row.language
        for row, of in zip(effects[:-1], held, strict=True)
        if of < claims.LEVEL and row.difference * one.sign < 0
    ]
    return {
        **asdict(one),
        **_told(shown[-1]),
        "p_holm": p,
        "expected": effects[-1].difference * one.sign > 0,
        "all_languages": [row.language for row in effects[:-1]],
        "languages_with": agree,
        "languages_against": against,
    }


def verdict(claim: claims.Claim, contrasts: Sequence[Mapping[str, Any]]) -> str:
    """`holds`, `does not hold` (a difference the other way), `not shown`, or `not measured`."""
    if len(contrasts) < len(claim.contrasts):
        return "not measured"
    shown = [one["p_holm"] < claims.LEVEL for one in contrasts]
    if all(is_shown and one["expected"] for is_shown, one in zip(shown, contrasts, strict=True)):
        return "holds"
    if any(is_shown and not one["expected"] for is_shown, one in zip(shown, contrasts, strict=True)):
        return "does not hold"
    return "not shown"


def _explored(study: Study) -> list[dict[str, Any]]:
    return [
        {"first": first, "second": second}
        | {tasks: _told(study.effects(first, second, tasks)[-1]) for tasks in (OPEN, STRUCTURED)}
        for first, second in EXPLORED
        if study.has(first, second)
    ]
