"""The second table: claims (b), (c) and (d) on SmolLM2-135M-Instruct, three seeds an arm (`make real-study`).

Four languages, a reward of rules, prompts on topics that training has not seen (`experiments=real`). The rules touch all that is
measured here, so that (c) is what SFT on the best answers gives up of it, and nothing that no preference is about; with
`--words evals=[checks,euroeval]` and a network EuroEval measures that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.study.arms import FEW, Arm
from benchmarks.study.claims import BASE
from benchmarks.study.run import sweep
from croco.errors import UserError
from croco.evals.comparing import arms as by_seed
from croco.evals.comparing import paired, stored
from croco.evals.comparing.paired import Effect, Scores
from croco.jobs import experiments

METRICS = {
    "language": "right language",
    "instruction_strict": "instructions followed, mean over prompts",
    "prompt_strict": "all of a prompt's instructions followed",
    "ended": "answers ended by the model",
    "repetition": "repeated 4-grams (lower is better)",
    "tokens": "tokens",
}
SETTINGS = paired.Settings(resamples=10_000, confidence=0.95)
COMMON = ("experiments=real", "logger=none")
ARMS = (
    Arm("real_mono", (), FEW, "DPO; best against worst of 12 answers, within each language"),
    Arm(
        "real_multi",
        ("pairing.scope=multi", "method.epochs=12"),
        FEW,
        "DPO; the same over all languages, as many steps",
    ),
    Arm("real_max_r", ("method=max_r",), FEW, "SFT on the best answer"),
    Arm(
        "real_off_policy",
        ("source=off_policy", "source.model=HuggingFaceTB/SmolLM2-360M-Instruct"),
        FEW,
        "DPO on the answers of SmolLM2-360M-Instruct",
    ),
)
CONTRASTS = (("b", "real_mono", "real_multi"), ("c", "real_max_r", "real_mono"), ("d", "real_off_policy", "real_mono"))
"""Claim, first, second: second less first."""


def table(artifacts: Path) -> dict[str, Any] | None:
    """Metric -> arm -> language (and `macro`) -> tuned minus base, and the contrasts between arms; None where no arm was run."""
    found: dict[str, Sequence[stored.Run]] = {}
    for arm in ARMS:
        try:
            found[arm.name] = experiments.runs_of(sweep(arm, artifacts))
        except UserError:
            continue
    if not found:
        return None
    scores = {name: [stored.scores(run, "checks") for run in runs] for name, runs in found.items()}
    languages = list(next(iter(found.values()))[0].configuration["lang.languages"])

    def effects(first: Sequence[Scores], second: Sequence[Scores]) -> dict[str, Any]:
        rows: Sequence[Effect] = by_seed.effects("checks", first, second, languages, SETTINGS)
        return {row.language: asdict(row) for row in rows}

    def of(name: str, metric: str, system: str = "tuned") -> list[Scores]:
        return [run[metric, system] for run in scores[name]]

    return {
        "languages": languages,
        "metrics": {
            metric: {name: effects(of(name, metric, BASE)[:1], of(name, metric)) for name in found}
            for metric in METRICS
        },
        "contrasts": [
            {"claim": claim, "first": first, "second": second, "metric": metric}
            | effects(of(first, metric), of(second, metric))
            for claim, first, second in CONTRASTS
            if first in found and second in found
            for metric in METRICS
        ],
    }
