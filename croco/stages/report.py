"""What a person reads at the end: the table, the page, and where everything lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from croco import page
from croco.artifacts import files, store
from croco.artifacts.records import Generation, Prompt
from croco.config import Config
from croco.evals.comparing import changes, paired
from croco.page import answers as shown
from croco.page import lineage as origin
from croco.page import multiples, trained
from croco.page import pairs as drawn_pairs
from croco.page.curves import Curve, restored
from croco.pairing import levels, show
from croco.pairing.ready import SOURCE as BROUGHT
from croco.show import tables
from croco.show.tables import Table
from croco.stages import templates
from croco.stages.base import Job, Stage

ANSWERS_PER_LANGUAGE = 8
ON_PROMPTS = {
    "quality": "Answers to held-out prompts",
    "checks": "Answers to prompts with instructions that are checked",
}
"""Evaluations of base and tuned answers, prompt by prompt."""
ANSWERED = {
    "quality": ("prompts", ("answers_base", "answers_tuned"), ("quality",)),
    "checks": (
        "checks_prompts",
        ("checked_base", "checked_tuned"),
        ("prompt_strict", "instruction_strict", "language"),
    ),
}
"""Evaluation -> its prompts, the answers of both systems, and by what these fared, the first that there is."""
SCORED = {"off_policy": "other_scores", "reference": "reference_scores"}
"""Source of answers -> their scores, where pairs take them besides the policy's."""
EVALUATIONS = ("quality", "arena", "distance", "checks", "reward_ranking", "euroeval", "checkpoints")
"""Stages that measure; each has `headline`, `metric` and `tables` in its summary. The first one's metric is the run's."""


def slice_of(config: Config) -> dict[str, Any]:
    return {"languages": list(config.lang.languages), "name": config.method.name}


def run(job: Job) -> dict[str, Any]:
    """Write report.txt, report.html and lineage.json from what the run made."""
    evaluated = {name: job.single(name).summary for name in EVALUATIONS if name in job.inputs}
    training = job.single("training")
    told = "" if evaluated else "nothing was evaluated (evals=none)\n"
    told += tables.text([*_results(evaluated), *rewards(job)], tables.WIDTH)
    files.write_atomically(job.output.path / "report.txt", told)
    measured = _measured(job)
    changed = changes.changes(measured)
    folders = lineage(job)
    files.write_atomically(job.output.path / "lineage.json", json.dumps(folders, indent=2) + "\n")
    files.write_atomically(job.output.path / "report.html", page.render(_page(job, evaluated, measured)))
    return {
        "warnings": warnings(job),
        "metric": next((summary["metric"] for summary in evaluated.values()), None),
        "pairs": job.single("pairs").summary["rows"] if "pairs" in job.inputs else None,
        "steps": training.summary["steps"],
        "evaluated": {name: summary["headline"] for name, summary in evaluated.items()},
        "changes": [asdict(change) for change in changed],
    }


def _measured(job: Job) -> list[changes.Measured]:
    """Every measure that both systems have on prompts; benchmarks and judges bring verdicts of their own."""
    found = []
    for name in ON_PROMPTS:
        if name in job.inputs:
            own = getattr(
                job.config.evals, name
            )  # the same draws as in the evaluation's own tables: the same intervals
            settings = paired.Settings(own.resamples, own.confidence)
            found += changes.measured({name: job.single(name).table("results")}, job.config.lang.languages, settings)
    return found


def _results(evaluated: Mapping[str, dict[str, Any]]) -> list[Table]:
    return [Table(**table) for summary in evaluated.values() for table in summary["tables"]]


def rewards(job: Job) -> list[Table]:
    """What the rewards are that chose the pairs."""
    if not isinstance(scores := job.inputs.get("scores"), store.Artifacts):
        return []
    table = show.rewards(scores.summary, job.config.reward.length == "control")
    return [] if table is None else [table]


def _data(config: Config) -> str:
    own = config.method.trains_on == "reference"
    if not config.data.made:
        return f"{config.data.kind} from {Path(str(config.data.path)).name}"
    return "the data set's own answers" if own else f"{config.pairing.scope} pairs"


def lineage(job: Job) -> dict[str, str]:
    """Stage (and language) -> folder below the store's root."""
    folders: dict[str, str] = {}
    for name, artifact in job.inputs.items():
        if isinstance(artifact, store.Artifacts):
            folders |= {f"{name}/{lang}": f"{a.stage}/{a.path.name}" for lang, a in artifact.by_language.items()}
        else:
            folders[name] = f"{artifact.stage}/{artifact.path.name}"
    return folders


def _page(job: Job, evaluated: Mapping[str, dict[str, Any]], measured: Sequence[changes.Measured]) -> page.Page:
    config = job.config
    pairs = _pairs(job)
    drawn = {name: summary for name, summary in evaluated.items() if name in ON_PROMPTS}
    others = {name: summary for name, summary in evaluated.items() if name not in drawn}
    found = origin.ancestors(job.inputs)
    return page.Page(
        changed=changes.changes(measured),
        measures=[
            multiples.of_measured(words, of_evaluation)
            for name, words in ON_PROMPTS.items()
            if (of_evaluation := [one for one in measured if one.evaluation == name])
        ],
        pairs=_drawn_pairs(job),
        numbers=[*_results(drawn), *(show.tables(pairs) if pairs else ())],
        title=f"croco: {config.method.name} on {', '.join(config.lang.languages)} ({_data(config)})",
        headline=headline(config, evaluated),
        tables=[*_results(others), *rewards(job)],
        curves=[*_by_step(evaluated), *trained.curves(job.single("training").path / trained.METRICS)],
        answers=list(answers(job)),
        settings=job.output.provenance.get("run", {}),
        more=[origin.costs(found), origin.lineage(found)],
        verdict=job.single("training").summary["verdict"],
        warnings=warnings(job),
    )


def headline(config: Config, evaluated: Mapping[str, dict[str, Any]]) -> str:
    """What was measured; and, of a policy whose template knows thoughts, whether it was asked for them."""
    said = [summary["headline"] for summary in evaluated.values()] or ["Nothing was evaluated."]
    return " ".join([*said, *([f"Thinking: {templates.thinking(config)}."] if templates.thinks(config) else [])])


def _pairs(job: Job) -> dict[str, Any] | None:
    """The pair report, where the run made pairs."""
    return job.single("pairs").summary["report"] if "pairs" in job.inputs else None


def _drawn_pairs(job: Job) -> drawn_pairs.Pairs | None:
    if "pairs" not in job.inputs:
        return None
    own = job.config.source.kind if job.config.data.made else BROUGHT
    scored = {own: "scores", **SCORED}
    scores = {
        source: job.inputs[name].table("scores", drawn_pairs.SCORE_COLUMNS)
        for source, name in scored.items()
        if name in job.inputs
    }
    pairs = job.single("pairs")
    return drawn_pairs.of_tables(pairs.table("pairs", drawn_pairs.PAIR_COLUMNS), scores, pairs.summary["report"])


def warnings(job: Job) -> list[str]:
    """What a reader should know before the numbers: of the pairs, and why training's verdict is what it is."""
    pairs, training = _pairs(job), job.single("training").summary
    why = (f"training: {reason}" for reason in training.get("reasons", ()))
    texts = (*_thoughts(job), *_spelled(job))
    parted = job.single("checkpoints").summary["warnings"] if "checkpoints" in job.inputs else ()
    return [*(levels.warnings(pairs) if pairs else ()), *why, *parted, *templates.warnings(job.config), *texts]


def _answered(job: Job) -> Iterator[dict[str, Any]]:
    """Summaries of the policy's answers, by stage and language."""
    for artifact in (job.inputs[name] for name in ANSWERED if name in job.inputs):
        yield from artifact.summary.values() if isinstance(artifact, store.Artifacts) else (artifact.summary,)


def _spelled(job: Job) -> Iterator[str]:
    """Texts that say what a control token is written as."""
    counts = [summary.get("spelled", {}) for summary in _answered(job)]
    found = {kind: sum(of.get(kind, 0) for of in counts) for kind in ("prompts", "answers")}
    if any(found.values()):
        yield "texts: {prompts:,} prompts and {answers:,} answers spell a mark of the chat template; it stayed text".format(
            **found
        )


def _thoughts(job: Job) -> Iterator[str]:
    """Whether the policy thinks, where its template knows thoughts, and how many of its thoughts were cut short."""
    said = templates.thinking(job.config)
    counts = list(_answered(job))
    short, rows = (sum(summary.get(key, 0) for summary in counts) for key in ("wordless", "rows"))
    if short:
        yield (
            f"thinking: {said}; {short:,} of {rows:,} answers were cut off in their thought, which is no answer: raise "
            "sampling.max_new_tokens, or model.template_options={enable_thinking:false} where the template knows it"
        )


def _by_step(evaluated: Mapping[str, dict[str, Any]]) -> list[Curve]:
    """Evaluations at several steps of training."""
    return [restored(curve) for summary in evaluated.values() for curve in summary.get("curves", ())]


def answers(job: Job) -> Iterator[page.Answer]:
    """Of each evaluation and language the held-out prompts that lost most and those that gained most, with both answers."""
    for evaluation, (asked, answered, metrics) in ANSWERED.items():
        if answered[0] in job.inputs:
            results = job.single(evaluation).table("results") if evaluation in job.inputs else None
            metric, fared = shown.fared(results, metrics) if results is not None else ("", {})
            yield from _answers(job, asked, answered, metric, fared)


def _answers(
    job: Job, asked: str, answered: Sequence[str], metric: str, fared: Mapping[shown.Key, shown.Fared]
) -> Iterator[page.Answer]:
    prompts = {(p.language, p.prompt_id): p for p in job.inputs[asked].rows("prompts", Prompt)}
    both = [
        {(g.language, g.prompt_id): g for g in job.inputs[name].rows("generations", Generation) if g.sample == 0}
        for name in answered
    ]
    for language in job.config.lang.languages:
        known = {key: value for key, value in fared.items() if key in both[0] and key in both[1]}
        keys = shown.worst_and_best(known, language, ANSWERS_PER_LANGUAGE // 2)
        # What nothing measured is shown as it comes.
        keys = keys or sorted(key for key in both[0] if key[0] == language and key in both[1])[:ANSWERS_PER_LANGUAGE]
        for key in keys:
            texts = prompts[key].messages[-1]["content"], both[0][key].text, both[1][key].text
            if (one := known.get(key)) is None:
                yield page.Answer(language, *texts)
            else:
                checks = list(one.checks) or [metric]
                yield page.Answer(language, *texts, one.told(changes.NAMES.get(metric, metric)), one.outcome, checks)


STAGE = Stage(
    name="report",
    needs=(
        "preferences",
        "reward_model",
        "data",
        "translations",
        "prompts",
        "generations",
        "scores",
        "other_scores",
        "reference_scores",
        "pairs",
        "training",
        "answers_base",
        "answers_tuned",
        "checks_prompts",
        "checked_base",
        "checked_tuned",
        "arena_prompts",
        "arena_candidate",
        "arena_opponent",
        "arena_verdicts",
        *EVALUATIONS,
    ),
    config=slice_of,
    run=run,
    version=5,
)
