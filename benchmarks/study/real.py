"""The second table: the same claims on SmolLM2-135M-Instruct, from the newest sweep of `experiments=real` (three seeds)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from croco.errors import UserError
from croco.evals.comparing import grid, paired
from croco.evals.comparing.paired import MACRO
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


def table(artifacts: Path, experiment: str = "real") -> dict[str, Any] | None:
    """Metric -> arm -> language (and `macro`) -> tuned minus base; None where the experiment has not been run."""
    try:
        runs = experiments.runs_of(experiments.newest_sweep(experiment, artifacts))
    except UserError:
        return None
    found: dict[str, Any] = {}
    for metric in METRICS:
        made = grid.build(runs, "checks", metric, grid.BASE, SETTINGS)
        found[metric] = {arm: {row.language: asdict(row) for row in rows} for arm, rows in made.rows.items()}
    return {"languages": [name for name in next(iter(found["tokens"].values())) if name != MACRO], "metrics": found}
