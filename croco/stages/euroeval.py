"""EuroEval of base and tuned: the data sets asked for are there, their scores, and the two compared."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from croco.artifacts import records, store
from croco.artifacts.records import Result
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.evals.benchmarks import paired, results, tool
from croco.evals.benchmarks.results import Measured
from croco.evals.comparing import base_and_tuned
from croco.language import clock
from croco.models import merged
from croco.models.checkpoints import Checkpoint
from croco.models.slices import TEMPLATES, asks_for_the_date, checkpoint_slice
from croco.stages.base import Job, Stage, languages_of, model_of


def _wanted(config: Config) -> bool:
    return config.evals.euroeval is not None


def _tool(config: Config) -> tool.Tool:
    euroeval = config.evals.euroeval
    assert euroeval is not None, "stages are asked whether they are wanted"
    return tool.Tool(
        executable=Path(euroeval.executable),
        iterations=euroeval.iterations,
        few_shot=euroeval.few_shot,
        test_split=euroeval.test_split,
        cache=Path(config.paths.artifacts) / "euroeval_cache",
        custom_datasets=Path(euroeval.custom_datasets) if euroeval.custom_datasets is not None else None,
        options=euroeval.options,
    )


def _datasets(config: Config) -> dict[str, list[str]]:
    """By language; languages without any are left out."""
    euroeval = config.evals.euroeval
    assert euroeval is not None, "stages are asked whether they are wanted"
    languages = euroeval.languages if euroeval.languages is not None else config.lang.languages
    return {language: euroeval.datasets[language] for language in languages if euroeval.datasets.get(language)}


def _asked(config: Config) -> dict[str, Any]:
    if not _wanted(config):
        return {}
    custom = _tool(config).custom_datasets
    file = hashlib.sha256(custom.read_bytes()).hexdigest()[:16] if custom is not None else None
    return {"datasets": _datasets(config), "version": _tool(config).version(), "custom_datasets": file}


def _validate(job: Job) -> dict[str, Any]:
    unknown = tool.unknown(_datasets(job.config), _tool(job.config).known())
    if unknown:
        raise UserError("\n".join(unknown))
    return {"version": _tool(job.config).version(), "datasets": sum(map(len, _datasets(job.config).values()))}


def _measured_as(config: Config) -> dict[str, Any]:
    if not _wanted(config):
        return {}
    used, model = _tool(config), config.model
    return {
        **checkpoint_slice(factory.policy(model)),
        "iterations": used.iterations,
        "few_shot": used.few_shot,
        "test_split": used.test_split,
        "options": used.options,
    }


def _measure(job: Job, tuned: bool) -> dict[str, Any]:
    job.engines.close()  # the tool needs the device
    checkpoint = factory.policy(job.config.model)
    if tuned:
        checkpoint = replace(checkpoint, adapter=job.single("training").path / "adapter")
    names = [name for sets in _datasets(job.config).values() for name in sets]
    measured = tool.run(_tool(job.config), _model(checkpoint, job.output.path), names, job.output.path)
    shutil.rmtree(job.output.path / "model", ignore_errors=True)
    (job.output.path / "base").unlink(missing_ok=True)
    return {"rows": len(measured), "versions": sorted({str(m.version) for m in measured})}


def _model(checkpoint: Checkpoint, folder: Path) -> str:
    """What the tool can load: a folder written for it, or the model as it is.

    The tool keeps answers by the model's name, so a local checkpoint goes by the artifact's own path, which changes with it.
    """
    dated = asks_for_the_date(checkpoint)
    if checkpoint.adapter is not None or checkpoint.chat_template is not None or dated:
        merged.write(checkpoint, folder / "model")
        if dated:  # base and tuned may be measured on different days
            template = folder / "model" / TEMPLATES[0]
            store.write_atomically(template, clock.written_out(template.read_text(encoding="utf-8")))
        return str((folder / "model").absolute())
    if Path(checkpoint.path).is_dir():
        link = folder / "base"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(checkpoint.path).absolute())
        return str(link.absolute())
    return checkpoint.path + (f"@{checkpoint.revision}" if checkpoint.revision else "")


def _rows(system: str, measured: Sequence[Measured], languages: dict[str, str]) -> list[Result]:
    return [
        Result("euroeval", system, m.dataset, languages[m.dataset], iteration, _named(m, metric), score, m.task)
        for m in measured
        for metric, scores in m.scores.items()
        for iteration, score in enumerate(scores)
    ]


def _named(m: Measured, metric: str) -> str:
    """`score` for the task's first metric: what data sets are compared and averaged by."""
    return "score" if metric == m.metric else metric


def _compare(job: Job) -> dict[str, Any]:
    euroeval, datasets = job.config.evals.euroeval, _datasets(job.config)
    assert euroeval is not None, "stages are asked whether they are wanted"
    measured = {s: results.read(job.single(f"euroeval_{s}").path / results.FILE) for s in base_and_tuned.SYSTEMS}
    languages = {name: language for language, names in datasets.items() for name in names}
    rows = [row for system, found in measured.items() for row in _rows(system, found, languages)]
    job.output.write_table("results", records.schema(Result), map(records.as_dict, rows))
    found = paired.compare(measured["base"], measured["tuned"], datasets, euroeval.confidence)
    return {
        "rows": len(rows),
        "comparison": [asdict(row) for row in (*found.sets, *found.means, *found.others)],
        "forgotten": [row.dataset for row in paired.fallen(found.sets)],
        "headline": paired.headline(found),
        "metric": found.means[-1].difference,
        "tables": [asdict(shown) for shown in paired.tables(found, euroeval.confidence)],
    }


DATA = Stage(
    name="euroeval_data",
    needs=(),
    words=lambda config: (languages_of(config),),
    config=_asked,
    run=_validate,
    version=1,
    wanted=_wanted,
)
BASE = Stage(
    name="euroeval_base",
    needs=("euroeval_data",),
    config=_measured_as,
    run=functools.partial(_measure, tuned=False),
    version=1,
    folder="euroeval_scores",
    words=lambda config: (model_of(config), languages_of(config)),
    wanted=_wanted,
)
TUNED = replace(
    BASE, name="euroeval_tuned", needs=("euroeval_data", "training"), run=functools.partial(_measure, tuned=True)
)
STAGE = Stage(
    name="euroeval",
    needs=("euroeval_base", "euroeval_tuned"),
    config=lambda c: {"datasets": _datasets(c), "confidence": c.evals.euroeval.confidence} if c.evals.euroeval else {},
    run=_compare,
    version=2,
    wanted=_wanted,
)
