"""Preference pairs: which answers of each pool are chosen and rejected, with a report of what came out."""

from __future__ import annotations

import functools
import math
from typing import Any

from croco.artifacts import records
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.language import frame, marks, text
from croco.models.checkpoints import tokenizer_of
from croco.pairing import levels, report, show
from croco.pairing.build import PROMPT_COLUMNS, Tables, build
from croco.pairing.ready import SOURCE as BROUGHT
from croco.stages.base import Job, Stage, languages_of, model_of, pairs_wanted


def slice_of(config: Config) -> dict[str, Any]:
    pairing = records.as_dict(config.pairing)
    pairing.pop("limits")  # they accept or refuse the rows, and change none
    filters = records.as_dict(config.pairing.filters)
    if filters["disagreement"] is None:
        del filters["disagreement"]  # as it was before there was one
    pairing["filters"] = filters
    if config.source.shares is not None:
        pairing["shares"] = config.source.shares
    return {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in pairing.items()
    }


def run(job: Job) -> dict[str, Any]:
    config, source = job.config.pairing, job.config.source
    prompts = job.inputs["prompts"].table("prompts", PROMPT_COLUMNS)
    path = job.output.path / "pairs.parquet"
    summary = build(prompts, _sources(job), config, path, source.shares, _encoding(job.config))
    job.progress.console.print(show.render(summary["report"], job.progress.console.width))
    return summary


def accept(config: Config, summary: dict[str, Any]) -> None:
    """Pairs outside `pairing.limits` stop the run, also when they were found; the limits change no row."""
    broken = levels.breaches(summary["report"], config.pairing.limits)
    if broken:
        raise UserError("; ".join(broken))


def _encoding(config: Config) -> report.Encoding:
    """How texts would be encoded for training; answers anew where the policy can be trained on a source's sampled ids."""
    tokenizer = tokenizer_of(factory.policy(config.model))
    spells = functools.partial(marks.spells, tokenizer)
    if frame.of(tokenizer).opens_thought:
        return report.Encoding(spells=spells)  # no text is an answer to it
    anew = functools.partial(text.answer_ids, tokenizer)
    sources = [source for source in ("on_policy", "off_policy") if factory.samples_as(config, source, tokenizer)]
    return report.Encoding(dict.fromkeys(sources, anew), spells)


def _sources(job: Job) -> dict[str, Tables]:
    """Whose answers there are; those of the policy (or, off-policy, of the other model) first."""
    if not job.config.data.made:
        generations, scores = (job.inputs[stage] for stage in ("generations", "scores"))
        return {BROUGHT: Tables(generations.files("generations"), scores.files("scores"))}
    base = job.config.source.kind
    made_by = {
        "off_policy": ("other_generations", "other_scores"),
        "reference": ("references", "reference_scores"),
        base: ("generations", "scores"),
    }
    tables = {}
    for name in (base, *sorted(set(job.config.source.shares or ()) - {base})):
        generations, scores = (job.inputs[stage] for stage in made_by[name])
        tables[name] = Tables(generations.files("generations"), scores.files("scores"))
    return tables


STAGE = Stage(
    name="pairs",
    words=lambda config: (model_of(config), languages_of(config), config.pairing.scope),
    # The chain gives a stage what there is of what it names: a run without a mixture has the first three.
    needs=("prompts", "generations", "scores", "other_generations", "other_scores", "references", "reference_scores"),
    config=slice_of,
    run=run,
    accept=accept,
    wanted=pairs_wanted,
    version=3,
)
