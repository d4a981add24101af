"""What a person reads at the end: the table, the page, and where everything lies."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from croco import page, store
from croco.config import Config
from croco.evals.compare import MACRO
from croco.page.curves import Curve
from croco.pairing import report as pair_report
from croco.pairing import show
from croco.records import Generation, Prompt
from croco.stages.base import Job, Stage

ANSWERS_PER_LANGUAGE = 2
WIDTH = 118


def slice_of(config: Config) -> dict[str, Any]:
    return {"languages": list(config.lang.languages), "name": config.method.name}


def run(job: Job) -> dict[str, Any]:
    comparison = job.single("evaluation").summary["comparison"] if "evaluation" in job.inputs else []
    training, pairs = job.single("training"), job.single("pairs")
    text = console_table(comparison) if comparison else "nothing was evaluated (evals=none)\n"
    store.write_atomically(job.output.path / "report.txt", text)
    folders = lineage(job)
    store.write_atomically(job.output.path / "lineage.json", json.dumps(folders, indent=2) + "\n")
    store.write_atomically(job.output.path / "report.html", page.render(_page(job, comparison, folders)))
    macro = next((row["difference"] for row in comparison if row["language"] == MACRO), None)
    return {
        "metric": macro,
        "pairs": pairs.summary["rows"],
        "steps": training.summary["steps"],
        "comparison": comparison,
    }


def console_table(comparison: list[dict[str, Any]]) -> str:
    """Base against tuned per language, as text."""
    table = RichTable(box=None, header_style="", pad_edge=False)
    heads = (
        "language",
        "prompts",
        "base",
        "tuned",
        "difference",
        "interval",
        "p",
        "wins",
        "fidelity",
        "tokens",
        "ended",
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "language" else "right")
    for row in comparison:
        table.add_row(
            row["language"],
            str(row["prompts"]),
            f"{row['base']:.3f}",
            f"{row['tuned']:.3f}",
            f"{row['difference']:+.3f}",
            f"[{row['low']:+.3f}, {row['high']:+.3f}]".replace("[", "\\["),
            f"{row['p']:.3f}",
            f"{row['win_rate']:.2f}",
            " > ".join(
                "–" if row[side] is None else f"{row[side]:.2f}" for side in ("fidelity_base", "fidelity_tuned")
            ),
            f"{row['tokens_base']:.1f} > {row['tokens_tuned']:.1f}",
            f"{row['ended_base']:.2f} > {row['ended_tuned']:.2f}",
        )
    out = io.StringIO()
    Console(file=out, width=WIDTH).print(table)
    return out.getvalue()


def lineage(job: Job) -> dict[str, str]:
    """Stage (and language) -> folder below the store's root."""
    folders: dict[str, str] = {}
    for name, artifact in job.inputs.items():
        if isinstance(artifact, store.Artifacts):
            folders |= {f"{name}/{lang}": f"{a.stage}/{a.address}" for lang, a in artifact.by_language.items()}
        else:
            folders[name] = f"{artifact.stage}/{artifact.address}"
    return folders


def _page(job: Job, comparison: list[dict[str, Any]], folders: dict[str, str]) -> page.Page:
    config = job.config
    tables = []
    if comparison:
        columns = list(comparison[0])
        rows = [[row[c] for c in columns] for row in comparison]
        note = (
            "Difference: tuned minus base, prompts as the unit; p Holm-adjusted over languages; wins count ties half."
        )
        tables.append(page.Table("Held-out prompts, base against tuned", columns, rows, note))
    pairs = job.single("pairs").summary["report"]
    tables += [page.Table(shown.title, shown.columns, shown.rows) for shown in show.tables(pairs)]
    macro = next((row for row in comparison if row["language"] == MACRO), None)
    headline = "Nothing was evaluated."
    if macro is not None:
        interval = f"{macro['low']:+.3f} to {macro['high']:+.3f}"
        headline = (
            f"Quality {macro['base']:.3f} before, {macro['tuned']:.3f} after: {macro['difference']:+.3f} ({interval})."
        )
    return page.Page(
        title=f"croco: {config.method.name} on {', '.join(config.lang.languages)} ({config.pairing.scope} pairs)",
        headline=headline,
        tables=tables,
        curves=_curves(job.single("training").path / "metrics.jsonl"),
        answers=list(_answers(job)),
        settings=job.output.provenance.get("run", {}),
        lineage=folders,
        costs=_costs(job),
        verdict=job.single("training").summary["verdict"],
        warnings=pair_report.warnings(pairs),
    )


def _curves(metrics: Any) -> list[Curve]:
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    steps = [int(row["step"]) for row in rows]
    plots = {
        "loss": ("loss",),
        "margin (nats)": ("margin",),
        "reward accuracy": ("accuracy",),
        "log-prob per token (nats)": ("chosen_logp_per_token", "rejected_logp_per_token"),
        "log-prob against the reference (nats)": ("chosen_against_reference", "rejected_against_reference"),
    }
    return [
        Curve(title, steps, {name: [row[name] for row in rows] for name in names})
        for title, names in plots.items()
        if rows and all(name in rows[0] for name in names)
    ]


def _answers(job: Job) -> Any:
    """The first held-out prompts of each language with both answers."""
    if "answers_base" not in job.inputs:
        return
    prompts = {(p.prompt_id, p.language): p for p in job.inputs["prompts"].rows("prompts", Prompt)}
    both = [
        {(g.language, g.prompt_id): g for g in job.inputs[name].rows("generations", Generation) if g.sample == 0}
        for name in ("answers_base", "answers_tuned")
    ]
    for language in job.config.lang.languages:
        keys = sorted(key for key in both[0] if key[0] == language and key in both[1])[:ANSWERS_PER_LANGUAGE]
        for key in keys:
            question = prompts[key[1], language].messages[-1]["content"]
            yield page.Answer(language, question, both[0][key].text, both[1][key].text)


def _costs(job: Job) -> page.Table:
    rows: list[tuple[str, float]] = []
    for name, artifact in job.inputs.items():
        several = artifact.by_language.values() if isinstance(artifact, store.Artifacts) else [artifact]
        rows.append((name, float(sum(a.manifest["seconds"] for a in several))))
    return page.Table("What it cost", ("stage", "seconds"), rows, "Wall time of the runs that made the artifacts.", 1)


STAGE = Stage(
    name="report",
    needs=("prompts", "generations", "scores", "pairs", "training", "answers_base", "answers_tuned", "evaluation"),
    config=slice_of,
    run=run,
    version=1,
)
