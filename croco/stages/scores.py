"""The reward of every candidate answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from croco import reuse
from croco.config import Config
from croco.config.scorers import ENGLISH, ImplicitOptions, options_of, scoring_parts
from croco.engines import scorers
from croco.engines.base import Answered
from croco.maths import length
from croco.records import Generation, Message, Prompt, Score
from croco.stages.base import Job, Stage
from croco.store import Artifact, canonical

ROWS_PER_CALL = 2048  # scored together, then written


def slice_of(config: Config) -> dict[str, Any]:
    return scorers.depends_on(config.engine, config.reward)


def also(config: Config) -> tuple[str, ...]:
    """What rewards that compare with English read besides."""
    kinds = {part.kind for part in scoring_parts(config.reward)}
    needs = {"implicit": f"prompts@{ENGLISH}", "alignment": f"generations@{ENGLISH}"}
    return tuple(need for kind, need in needs.items() if kind in kinds)


def run(job: Job) -> dict[str, Any]:
    prompts = {p.prompt_id: p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"}
    generations = job.single("generations")
    total = generations.summary["rows"]
    done = _done(job, generations)
    missing = (g for g in _generations(generations) if (g.prompt_id, g.sample) not in done)
    if len(done) < total:
        _score(job, prompts, missing, total, len(done))
    job.output.seal_journal("scores", Score, order=lambda r: (r["prompt_id"], r["sample"]))
    return _summary(job) | _control_length(job)


def _done(job: Job, generations: Artifact) -> set[tuple[str, int]]:
    """What need not be scored: an earlier attempt's rewards, and other artifacts' of the same answers.

    Rewards with length control are sealed as they are after it, which depends on all answers: they are not taken over.
    """
    done = {(r["prompt_id"], r["sample"]) for _, _, r in job.output.journalled()}
    options = options_of(job.config.reward)
    if isinstance(options, ImplicitOptions) and options.length_step is not None:
        return done
    taken = reuse.take_over_scores(job.output, job.single("prompts"), generations, done)
    if not taken:
        return done
    job.progress.say(f"{job.label}: {taken:,} rewards taken over")
    return {(r["prompt_id"], r["sample"]) for _, _, r in job.output.journalled()}


def _generations(artifact: Any) -> Iterator[Generation]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(artifact.path / "generations.parquet").iter_batches():
        for row in batch.to_pylist():
            yield Generation(**row)


def _score(job: Job, prompts: dict[str, Prompt], missing: Iterator[Generation], total: int, done: int) -> None:
    engine, reward = job.config.engine, job.config.reward
    key = ("scorer", canonical(slice_of(job.config)))
    scorer = job.engines.get(key, lambda: scorers.build(engine, reward))
    english = _English.of(job)
    name = job.config.reward.path or job.config.reward.function or ""
    journal = job.output.journal()
    try:
        with job.progress.task(job.label, total, "answers", done=done) as task:
            while rows := list(islice(missing, ROWS_PER_CALL)):
                answered = [english.answered(prompts[g.prompt_id], g) for g in rows]
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


@dataclass(frozen=True)
class _English:
    """The English side of the prompts, for rewards that compare with it; empty for all others."""

    prompts: dict[str, list[Message]]
    answers: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, job: Job) -> _English:
        prompts: dict[str, list[Message]] = {}
        answers: dict[str, list[str]] = {}
        if (there := job.inputs.get(f"prompts@{ENGLISH}")) is not None:
            prompts = {p.prompt_id: p.messages for p in there.rows("prompts", Prompt)}
        if (made := job.inputs.get(f"generations@{ENGLISH}")) is not None:
            for row in made.table("generations", ["prompt_id", "text"]).to_pylist():  # in order of samples
                answers.setdefault(row["prompt_id"], []).append(row["text"])
        return cls(prompts, {prompt_id: tuple(texts) for prompt_id, texts in answers.items()})

    def answered(self, prompt: Prompt, generation: Generation) -> Answered:
        english, answers = self.prompts.get(prompt.prompt_id, []), self.answers.get(prompt.prompt_id, ())
        return Answered(
            prompt.messages, generation.text, prompt.language, prompt.meta, prompt.prompt_id, english, answers
        )


def _control_length(job: Job) -> dict[str, Any]:
    """Take alpha * characters off the rewards where the reward says so; the journals keep them as they were scored."""
    options = options_of(job.config.reward)
    if not isinstance(options, ImplicitOptions) or options.length_step is None:
        return {}
    table = job.output.table("scores")
    lengths = pc.utf8_length(job.inputs["generations"].table("generations", ["text"])["text"]).to_numpy()
    rewards = table["reward"].to_numpy(zero_copy_only=False).astype(float)
    scored = np.isfinite(rewards)
    pools = np.unique(table["prompt_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    alpha = length.alpha(rewards[scored], lengths[scored], pools[scored], options.length_step)
    controlled = np.where(scored, rewards - alpha * lengths, np.nan)
    column = pa.array(controlled, pa.float64(), from_pandas=True)
    place = table.schema.get_field_index("reward")
    job.output.write_table(
        "scores", table.schema, table.set_column(place, table.schema.field(place), column).to_pylist()
    )
    return {"alpha": round(alpha, 6)}


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


STAGE = Stage(
    name="scores",
    needs=("prompts", "generations"),
    config=slice_of,
    run=run,
    version=1,
    per_language=True,
    also=also,
)
