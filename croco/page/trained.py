"""What training recorded, as curves: of one run, or of several over one another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from croco.page.curves import Curve as Curve

METRICS = "metrics.jsonl"
PLOTS = {
    "loss": ("loss", "validation_loss"),
    "margin (nats)": ("margin", "validation_margin"),
    "reward accuracy": ("accuracy", "validation_accuracy"),
    "log-prob per token (nats)": ("chosen_logp_per_token", "rejected_logp_per_token"),
    "log-prob against the reference (nats)": ("chosen_against_reference", "rejected_against_reference"),
    "KL to the reference on held-out answers (nats per token)": ("heldout_kl",),
    "held-out answers: share in the prompt's language, share of repeated text": (
        "heldout_answer_language",
        "heldout_answer_repetition",
    ),
}


def curves(metrics: Path) -> list[Curve]:
    """Of one run, from its metrics.jsonl; a name's line has a point wherever it was recorded."""
    rows = _rows(metrics)
    made = []
    for title, names in PLOTS.items():
        known = [name for name in names if any(name in row for row in rows)]
        if known:
            recorded = [row for row in rows if any(name in row for name in known)]
            values = {name: [row.get(name) for row in recorded] for name in known}
            made.append(Curve(title, [int(row["step"]) for row in recorded], values))
    return made


def overlaid(runs: Mapping[str, Path]) -> list[Curve]:
    """Of several runs: a plot per recorded name, a line per run that recorded it."""
    rows = {run: _rows(metrics) for run, metrics in runs.items()}
    made = []
    for title, names in PLOTS.items():
        unit = title[title.index(" (") :] if " (" in title else ""
        for name in names:
            lines = {
                run: {int(row["step"]): row[name] for row in of_run if name in row} for run, of_run in rows.items()
            }
            lines = {run: line for run, line in lines.items() if line}
            if lines:
                steps = sorted({step for line in lines.values() for step in line})
                values = {run: [line.get(step) for step in steps] for run, line in lines.items()}
                made.append(Curve(name.replace("_", " ") + unit, steps, values))
    return made


def _rows(metrics: Path) -> list[dict[str, Any]]:
    """None where the file is gone: a comparison needs the results of a run, not its training's folder."""
    if not metrics.is_file():
        return []
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
