"""What training recorded, as curves: of one run, or of several over one another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croco.page.curves import Curve as Curve
from croco.page.curves import Warned
from croco.training import verdict

METRICS = "metrics.jsonl"
AGAINST = "against_reference"
MARGIN = "margin"


@dataclass(frozen=True)
class Plot:
    """Recorded names that share an axis."""

    title: str
    unit: str
    lines: Mapping[str, str]
    """Recorded name -> what its line is called."""
    reference: float | None = None
    """Where the policy before training stands."""
    log: bool = False
    """A logarithmic axis, where the values span so much."""


PAIRS = {"": "training", "validation_": "held out"}
PLOTS = (
    Plot("loss", "", {f"{kind}loss": words for kind, words in PAIRS.items()}, log=True),
    Plot("margin", "nats", {f"{kind}margin": words for kind, words in PAIRS.items()}, 0.0),
    Plot("reward accuracy", "", {f"{kind}accuracy": words for kind, words in PAIRS.items()}),
    Plot("log-prob per token", "nats", {f"{side}_logp_per_token": side for side in ("chosen", "rejected")}),
    Plot(
        "against the reference", "nats per token", {f"{side}_{AGAINST}": side for side in ("chosen", "rejected")}, 0.0
    ),
    Plot("KL to the reference on held-out answers", "nats per token", {"heldout_kl": "KL"}, 0.0),
    Plot(
        "held-out answers",
        "shares",
        {
            "heldout_answer_ended": "ended",
            "heldout_answer_language": "right language",
            "heldout_answer_repetition": "repeated",
        },
    ),
    Plot("length of held-out answers", "tokens", {"heldout_answer_tokens": "tokens"}),
    Plot("gradient norm", "", {"grad_norm": "gradient"}, log=True),
)


def curves(metrics: Path) -> list[Curve]:
    """Of one run, from its metrics.jsonl; a line has a point wherever it was recorded, and a mark where it is warned of."""
    rows = _rows(metrics)
    warned = _warned(rows)
    made = []
    for plot in PLOTS:
        known = [name for name in plot.lines if any(name in row for row in rows)]
        if known:
            recorded = [row for row in rows if any(name in row for name in known)]
            values = {plot.lines[name]: [_value(row, name) for row in recorded] for name in known}
            marks = [Warned(*warned[name]) for name in known if name in warned]
            steps = [int(row["step"]) for row in recorded]
            made.append(Curve(_titled(plot, plot.title), steps, values, {}, plot.reference, plot.log, marks))
    return made


def overlaid(runs: Mapping[str, Path]) -> list[Curve]:
    """Of several runs: a plot per recorded name, a line per run that recorded it."""
    rows = {run: _rows(metrics) for run, metrics in runs.items()}
    made = []
    for plot in PLOTS:
        for name, words in plot.lines.items():
            lines = {
                run: {int(row["step"]): _value(row, name) for row in of_run if name in row}
                for run, of_run in rows.items()
            }
            lines = {run: line for run, line in lines.items() if line}
            if lines:
                steps = sorted({step for line in lines.values() for step in line})
                values = {run: [line.get(step) for step in steps] for run, line in lines.items()}
                title = f"{plot.title}: {words}" if len(plot.lines) > 1 else plot.title
                made.append(Curve(_titled(plot, title), steps, values, {}, plot.reference, plot.log))
    return made


def _titled(plot: Plot, title: str) -> str:
    return f"{title} ({plot.unit})" if plot.unit else title


def _value(row: Mapping[str, Any], name: str) -> float | None:
    """What is recorded against the reference is per answer: per token it can be held against what is warned of."""
    if name not in row or not name.endswith(AGAINST):
        return row.get(name)
    tokens = row.get(f"{name.partition('_')[0]}_tokens")
    return row[name] / tokens if tokens else None


def _warned(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, float, str]]:
    """Recorded name -> (step, value, why): the last value of what the verdict on training rests on."""
    called, reasons = verdict.judged(rows)
    of_pairs = {"collapsed": f"chosen_{AGAINST}", "likelihood displacement": f"chosen_{AGAINST}", "flat": MARGIN}
    why = dict(verdict.answers_against_start(rows))
    if called in of_pairs:
        why[of_pairs[called]] = f"{called}: {reasons[0]}"
    last = {name: row for row in rows for name in why if _value(row, name) is not None}
    return {name: (int(last[name]["step"]), float(_value(last[name], name) or 0.0), why[name]) for name in last}


def _rows(metrics: Path) -> list[dict[str, Any]]:
    """None where the file is gone: a comparison needs the results of a run, not its training's folder."""
    if not metrics.is_file():
        return []
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
