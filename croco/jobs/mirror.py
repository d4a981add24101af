"""What W&B is told of each stage: numbers to sort runs by, tables to read, and artifacts whose lineage leads from pairs over the
adapter to the evaluations.

Numbers keep the names of the tables they come from: `difference/da` of a `quality` run is `quality/difference/da` of the `report`
run, the one that stands for the whole job in a comparison.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from croco.artifacts.store import Artifact
from croco.evals.comparing import changes
from croco.page import lineage
from croco.page.lineage import ancestors
from croco.pairing import show
from croco.show.tables import Table
from croco.stages import report
from croco.stages.base import Job, Stage
from croco.tracking import Metrics, Mirrored, Tracker
from croco.tracking.told import Shown, Told

log = logging.getLogger(__name__)

PAIRS_PER_LANGUAGE = 20
BEST = {"loss": "min", "accuracy": "max"}
METRICS = {  # what a table of runs says of a curve; the last value of all others
    "training": Metrics({f"training/{part}{name}": kind for part in ("", "validation_") for name, kind in BEST.items()})
}
FILES = {
    "pairs": ("pairs.parquet",),
    "training": ("adapter/*",),
    "report": ("report.html", "report.txt", "lineage.json"),
}
KINDS = {"pairs": "pairs", "training": "model", "report": "report"}
USES = {"training": ("pairs",), "report": report.EVALUATIONS}


def job_type(stage: Stage) -> str | None:
    """Of the W&B run a stage tells; None for what only its table of seconds tells of. All rounds are one training."""
    if (stage.folder or stage.name) == "training":
        return "training"
    return stage.name if stage.name in {"pairs", "report", *report.EVALUATIONS} else None


def told(stage: Stage, job: Job) -> Told:
    """What a stage has made, as data. A round's training has told its curves; the last one is told of like an offline one."""
    said = Told()
    if stage.name == "pairs":
        said = _pairs(job)
    elif stage.name == "training" and job_type(stage) is not None:
        said = _training(job)
    elif stage.name == "report":
        said = _report(job)
    elif stage.name in report.EVALUATIONS:
        said = Told(_evaluation(job.output.summary), _shown(job.output.summary["tables"]))
    return _with_lineage(said, stage, job)


def tell(stage: Stage, job: Job, tracker: Tracker) -> None:
    """Send it; whatever goes wrong is one line."""
    try:
        told(stage, job).send(tracker)
    except Exception as error:
        log.warning("W&B: %s could not be told (%s); the run goes on, what it made is on disk", job.label, error)


def _with_lineage(said: Told, stage: Stage, job: Job) -> Told:
    kind = job_type(stage)
    if kind is None or stage.name != kind:  # a round before the last
        return said
    before = ancestors(job.inputs)  # an evaluation has its adapter only behind the answers
    used = [mirrored(name, before[name]) for name in USES.get(kind, ("training",)) if name in before]
    return replace(said, used=used, made=mirrored(kind, job.output))


def mirrored(kind: str, artifact: Artifact) -> Mirrored:
    """An artifact of the store with the files that are worth having elsewhere."""
    found = [file for pattern in FILES.get(kind, ("results.parquet",)) for file in sorted(artifact.path.glob(pattern))]
    files = {str(file.relative_to(artifact.path)): file for file in found if file.is_file()}
    metadata = {"stage": artifact.stage, "address": artifact.address, **dict(numbers(artifact.summary))}
    return Mirrored(f"{artifact.stage}-{artifact.address}", KINDS.get(kind, "evaluation"), files, metadata)


def numbers(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | int]]:
    """Finite numbers at the leaves of nested mappings, by their path."""
    for name, value in summary.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from numbers(value, f"{path}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield path, value


def by_row(table: Table) -> Iterator[tuple[str, float | int]]:
    """A table's numbers, as `column/row`."""
    for row in table.rows:
        yield from numbers(
            {f"{column}/{row[0]}": value for column, value in zip(table.columns[1:], row[1:], strict=True)}
        )


def _costs(job: Job) -> dict[str, float]:
    """Of everything before the report, whoever made it: sums of seconds and tokens, the highest memory."""
    *made, total = lineage.costs(ancestors(job.inputs)).rows
    found = {"seconds": total[1], "tokens": total[3]}
    for name, place in (("memory_gib", 5), ("gpu_memory_gib", 6)):
        found[name] = max((row[place] for row in made if row[place:] and row[place] is not None), default=None)
    return {f"costs/{name}": round(float(value), 3) for name, value in found.items() if value is not None}


def _changed(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many measures got better and worse, and which."""
    said: dict[str, Any] = {}
    for verdict in (changes.BETTER, changes.WORSE):
        names = [f"{one['measure']} ({one['evaluation']})" for one in found if one["verdict"] == verdict]
        said |= {f"changes/{verdict}": len(names), verdict: ", ".join(names)}
    return said


def _shown(tables: Any) -> list[Shown]:
    read = [Table(**table) if isinstance(table, Mapping) else table for table in tables]
    return [Shown(table.title, [column or "row" for column in table.columns], table.rows) for table in read]


def _pairs(job: Job) -> Told:
    summary = job.output.summary
    counts: Counter[str] = Counter()
    rows = []
    for pair in job.output.table("pairs", [name for name in PAIR_COLUMNS if name != "margin"]).to_pylist():
        counts[pair["language"]] += 1
        if counts[pair["language"]] <= PAIRS_PER_LANGUAGE:
            rows.append(_pair(pair))
    tables = [*_shown(show.tables(summary["report"])), Shown("pairs", PAIR_COLUMNS, rows)]
    return Told(dict(numbers(summary["report"])), tables)


PAIR_COLUMNS = (
    *("prompt_id", "language", "prompt", "chosen", "rejected"),
    *("chosen_score", "rejected_score", "margin", "chosen_language", "rejected_language"),
)


def _margin(pair: Mapping[str, Any]) -> float | None:
    known = pair["chosen_score"] is not None and pair["rejected_score"] is not None
    return pair["chosen_score"] - pair["rejected_score"] if known else None


def _pair(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    said = {name: pair[name][-1]["content"] for name in ("prompt", "chosen", "rejected")}
    shown = {**pair, **said, "margin": _margin(pair)}
    return tuple(shown[name] for name in PAIR_COLUMNS)


def _training(job: Job) -> Told:
    summary = job.output.summary
    return Told({"verdict": summary["verdict"], **{n: summary[n] for n in ("examples", "steps", "tokens")}})


def _evaluation(summary: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"headline": summary["headline"]}
    if summary["metric"] is not None:
        found["metric"] = summary["metric"]
    for table in summary["tables"]:
        for name, value in by_row(Table(**table)):
            found.setdefault(name, value)
    return found


def _seconds(job: Job) -> Iterator[tuple[str, float]]:
    """Wall time of what made each input, all its languages together."""
    for name, artifact in job.inputs.items():
        several = [artifact] if isinstance(artifact, Artifact) else artifact.by_language.values()
        yield name, sum(one.manifest["seconds"] for one in several)


def _report(job: Job) -> Told:
    """One row of a table of runs tells the whole job: metrics, the pairs' shares, training's last values and verdict, costs."""
    summary = job.output.summary
    said: dict[str, Any] = {name: summary[name] for name in ("metric", "pairs", "steps") if summary[name] is not None}
    for name in report.EVALUATIONS:
        if name in job.inputs:
            said |= {f"{name}/{key}": value for key, value in _evaluation(job.single(name).summary).items()}
    training = job.single("training").summary
    said |= {"training/verdict": training["verdict"], **dict(numbers(training["last"], "training/"))}
    if "pairs" in job.inputs:
        said |= dict(numbers(job.single("pairs").summary["report"], "pairs/"))
    for table in report.rewards(job):
        said |= {f"rewards/{name}": value for name, value in by_row(table)}
    said |= {"warnings": len(summary["warnings"]), "warning": "; ".join(summary["warnings"])}
    said |= {f"seconds/{name}": round(seconds, 3) for name, seconds in _seconds(job)}
    said |= _costs(job) | _changed(summary["changes"])
    answers = [(a.language, a.prompt, a.base, a.tuned) for a in report.answers(job)]
    tables = [Shown("answers", ("language", "prompt", "base", "tuned"), answers)] if answers else []
    return Told(said, tables, page=("page", job.output.path / "report.html"))
