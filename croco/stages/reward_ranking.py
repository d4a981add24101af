"""Is the reward model of use in each language? Rewards of answers that are known to be better or worse, and what they rank.

It is made from the stage of the scores, whose slice of the configuration says what rewards are.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from croco.artifacts import records
from croco.artifacts.addresses import canonical
from croco.artifacts.records import Prompt, Result
from croco.config import Config
from croco.errors import UserError
from croco.evals.comparing import paired
from croco.evals.ranking import accuracy as ranking
from croco.prompts import preferences
from croco.rewards import factory
from croco.stages.base import Job, Stage

ROWS_PER_CALL = 2048  # scored together, then written


def stage(scores: Stage) -> Stage:
    """The stage, next to that of the scores."""

    def config(given: Config) -> dict[str, Any]:
        return {**scores.config(given), "reward_ranking": _slice(given)}

    return Stage(
        name="reward_ranking",
        needs=("prompts",),
        config=config,
        run=run,
        version=1,
        wanted=lambda given: given.evals.reward_ranking is not None,
    )


def _slice(config: Config) -> dict[str, Any]:
    """With the content of local files in place of their path."""
    given = config.evals.reward_ranking
    assert given is not None, "stages are asked whether they are wanted"
    settings = records.as_dict(given)
    if given.path is not None and Path(given.path).exists():
        found = preferences.files(Path(given.path))
        settings["path"] = [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in found]
    return {**settings, "languages": list(config.lang.languages)}


def run(job: Job) -> dict[str, Any]:
    """Fill `results` with whether each preference is ranked right; the summary has accuracies per language."""
    config, languages = job.config.evals.reward_ranking, job.config.lang.languages
    assert config is not None, "stages are asked whether they are wanted"
    items = _items(job)
    _score(job, items)
    rewards = {(r["language"], r["prompt_id"], r["category"]): r["value"] for _, _, r in job.output.journalled()}
    rows = list(ranking.results(items, rewards))
    job.output.write_table("results", records.schema(Result), map(records.as_dict, rows))
    settings = paired.Settings(config.resamples, config.confidence)
    by_metric = {m: ranking.accuracy(rows, m, languages, settings) for m in (ranking.PREFERENCE, ranking.CORRUPTION)}
    tables = [table for table in by_metric.values() if table is not None]
    parallel = ranking.against_pivot(rows, languages, config.pivot, settings)
    macro = {metric: table.rows[-1][2] for metric, table in by_metric.items() if table is not None}
    return {
        "rows": len(rows),
        "headline": f"Reward model: {', '.join(f'{m} accuracy {v:.3f}' for m, v in macro.items())}.",
        "metric": next(iter(macro.values()), None),
        "tables": [asdict(table) for table in [*tables, *([parallel] if parallel is not None else [])]],
    }


def _items(job: Job) -> list[ranking.Item]:
    config = job.config.evals.reward_ranking
    assert config is not None
    heldout = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "heldout"]
    items = list(ranking.of_prompts(heldout, config.seed))
    if config.path is not None:
        read = preferences.read(config.path, job.config.lang.languages, config.hub_split, config.revision, config.limit)
        items = [*ranking.of_preferences(read), *items]
    if not items:
        raise UserError(
            "evals.reward_ranking.path: no held-out prompt has an answer of its own (a `reference` column), so "
            "name preference data"
        )
    return items


def _score(job: Job, items: list[ranking.Item]) -> None:
    """Reward what the journal does not hold yet."""
    engine, reward = job.config.engine, job.reward
    done = {(r["language"], r["prompt_id"], r["category"]) for _, _, r in job.output.journalled()}
    missing = [item for item in items if item.key not in done]
    if not missing:
        return
    scorer = job.engines.get(
        ("scorer", canonical(factory.depends_on(engine, reward))), lambda: factory.scorer(engine, reward)
    )
    journal = job.output.journal()
    try:
        with job.progress.task(job.label, len(items), "answers", done=len(items) - len(missing)) as task:
            for start in range(0, len(missing), ROWS_PER_CALL):
                group = missing[start : start + ROWS_PER_CALL]
                values = scorer.score([item.answered for item in group])
                journal.append(
                    Result(
                        ranking.NAME, ranking.SYSTEM, i.prompt_id, i.answered.language, 0, ranking.REWARD, value, i.kind
                    )
                    for i, value in zip(group, values, strict=True)
                )
                task.advance(len(group))
    finally:
        journal.close()
