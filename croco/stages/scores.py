"""The reward of every candidate answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from croco.config import Config
from croco.engines import factory
from croco.engines.base import Answered
from croco.engines.checkpoints import identity
from croco.records import Generation, Prompt, Score
from croco.stages.base import Job, Stage

ROWS_PER_CALL = 2048  # scored together, then written


def slice_of(config: Config) -> dict[str, Any]:
    reward = config.reward
    if reward.kind == "function":
        return {"kind": reward.kind, "function": reward.function, "source": _source_of(str(reward.function))}
    return {
        "kind": reward.kind,
        "model": identity(str(reward.path), reward.revision),
        "dtype": reward.dtype,
        "max_length": reward.max_length,
        "engine": config.engine.name,
    }


def _source_of(function: str) -> str:
    """The function's source text: an edited rule scores again."""
    import inspect

    from croco.config import locate

    return inspect.getsource(locate("reward.function", function))


def run(job: Job) -> dict[str, Any]:
    prompts = {p.prompt_id: p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"}
    generations = job.inputs["generations"]
    total = generations.summary["rows"]
    done = {(r["prompt_id"], r["sample"]) for _, _, r in job.output.journalled()}
    missing = (g for g in _generations(generations) if (g.prompt_id, g.sample) not in done)
    if len(done) < total:
        _score(job, prompts, missing, total, len(done))
    job.output.seal_journal("scores", Score, order=lambda r: (r["prompt_id"], r["sample"]))
    return _summary(job)


def _generations(artifact: Any) -> Iterator[Generation]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(artifact.path / "generations.parquet").iter_batches():
        for row in batch.to_pylist():
            yield Generation(**row)


def _score(job: Job, prompts: dict[str, Prompt], missing: Iterator[Generation], total: int, done: int) -> None:
    engine, reward = job.config.engine, job.config.reward
    scorer = job.engines.get(
        ("scorer", reward.kind, reward.path, reward.function), lambda: factory.scorer(engine, reward)
    )
    name = job.config.reward.path or job.config.reward.function or ""
    journal = job.output.journal()
    try:
        with job.progress.task(job.label, total, "answers", done=done) as task:
            while rows := list(islice(missing, ROWS_PER_CALL)):
                answered = [_answered(prompts[g.prompt_id], g) for g in rows]
                journal.append(
                    Score(
                        prompt_id=g.prompt_id,
                        language=g.language,
                        sample=g.sample,
                        reward=reward,
                        tokens=g.tokens,
                        finish_reason=g.finish_reason,
                        reward_model=name,
                    )
                    for g, reward in zip(rows, scorer.score(answered), strict=True)
                )
                task.advance(len(rows), tokens=sum(g.tokens for g in rows))
    finally:
        journal.close()


def _answered(prompt: Prompt, generation: Generation) -> Answered:
    return Answered(prompt.messages, generation.text, prompt.language, prompt.meta, prompt.prompt_id)


def _summary(job: Job) -> dict[str, Any]:
    rewards = job.output.table("scores", ["reward"])["reward"].drop_null().to_numpy()
    rows = job.output.table("scores", ["sample"]).num_rows
    if len(rewards) == 0:
        return {"rows": rows, "failed": rows}
    return {
        "rows": rows,
        "failed": rows - len(rewards),
        "mean_reward": round(float(np.mean(rewards)), 4),
        "std_reward": round(float(np.std(rewards)), 4),
    }


STAGE = Stage(name="scores", needs=("prompts", "generations"), config=slice_of, run=run, version=1, per_language=True)
