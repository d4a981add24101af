"""The reward of every candidate answer."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croco.artifacts import records, reuse
from croco.artifacts.records import Generation, Message, Prompt, Score
from croco.artifacts.sharing import Cut, Key, Work, incomplete
from croco.artifacts.store import Artifact, canonical
from croco.config import Config, RewardConfig
from croco.config.scorers import ENGLISH, ImplicitOptions, options_of, scoring_parts
from croco.engines import factory as generators
from croco.engines.base import Answered, scored
from croco.errors import UserError
from croco.language import text
from croco.maths import length
from croco.models.checkpoints import tokenizer_of
from croco.rewards import factory
from croco.stages.base import Job, Stage, pairs_wanted

COLUMNS = ("prompt_id", "sample")  # a row's key


def slice_of(config: Config) -> dict[str, Any]:
    length = config.reward.length
    depends = factory.depends_on(config.engine, config.reward)
    depends |= {"length": length} if length is not None else {}
    return depends | ({"tokens": config.method.tokens} if _implicit(config) else {})


def _implicit(config: Config) -> list[RewardConfig]:
    """The parts of the reward that read log-probs of the answers' ids."""
    return [part for part in scoring_parts(config.reward) if part.kind == "implicit"]


def also(config: Config) -> tuple[str, ...]:
    """What rewards that compare with English, or that the run trains, read besides."""
    kinds = {part.kind for part in scoring_parts(config.reward)}
    needs = {"implicit": f"prompts@{ENGLISH}", "alignment": f"generations@{ENGLISH}", "trained": "reward_model"}
    return tuple(need for kind, need in needs.items() if kind in kinds)


def fill(job: Job) -> None:
    """Bring a reward of every answer to the journals."""
    answers = _Answers(job.single("generations"), job.config.workers.answers_per_unit)
    cut = Cut(f"{answers.size}a", answers.units, answers.keys, COLUMNS, answers.count, "answers")
    with Work(job.output, cut, job.terms, job.progress, job.label, functools.partial(_take_over, job)) as work:
        for feed in work.feeds(ahead=True):
            _score(job, answers, feed, work)


def run(job: Job) -> dict[str, Any]:
    total = job.inputs["generations"].summary["rows"]
    count = job.output.seal_journal("scores", Score, order=lambda r: (r["prompt_id"], r["sample"]))
    if count != total:
        raise incomplete(job.output, count, total, "rewards")
    return _summary(job) | _control_length(job)


def _take_over(job: Job, done: set[Key]) -> int:
    """Other artifacts' rewards of the same answers.

    Rewards with length control are sealed as they are after it, which depends on all answers: they are not taken over.
    """
    options = options_of(job.config.reward)
    implicit = isinstance(options, ImplicitOptions) and options.length_step is not None
    if implicit or job.config.reward.length is not None:
        return 0
    return reuse.take_over_scores(job.output, job.single("prompts"), job.single("generations"), done)


class _Answers:
    """The answers by units of so many rows, read from one row group of the file at a time."""

    def __init__(self, generations: Artifact, size: int) -> None:
        self.size = size
        self.file = pq.ParquetFile(generations.path / "generations.parquet")
        groups = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = [0, *itertools.accumulate(groups)]
        self.count = self.starts[-1]
        self.units = -(-self.count // size)
        table = generations.table("generations", list(COLUMNS))
        self.prompt_ids, self.samples = table["prompt_id"], table["sample"]
        self._group: tuple[int, list[dict[str, Any]]] = (-1, [])

    def keys(self, unit: int) -> list[Key]:
        rows = slice(unit * self.size, (unit + 1) * self.size)
        return list(zip(self.prompt_ids[rows].to_pylist(), self.samples[rows].to_pylist(), strict=True))

    def rows(self, unit: int) -> Iterator[Generation]:
        for row in range(unit * self.size, min((unit + 1) * self.size, self.count)):
            group = bisect.bisect_right(self.starts, row) - 1
            if group != self._group[0]:
                self._group = (group, self.file.read_row_group(group).to_pylist())
            yield Generation(**self._group[1][row - self.starts[group]])


def _score(job: Job, answers: _Answers, feed: Iterator[tuple[int, list[Key]]], work: Work) -> None:
    engine, reward = job.config.engine, job.reward
    prompts = {p.prompt_id: p for p in job.inputs["prompts"].rows("prompts", Prompt)}
    name = reward.path or reward.function or ""
    which = canonical([slice_of(job.config), name])
    own = generators.in_turns(engine.of("reward"), job.engines)
    scorer = job.engines.get(("scorer", which), lambda: factory.scorer(own, reward))
    english, exact = _English.of(job), _exact(job.config)
    units: list[list[Generation]] = []

    alone = reward.kind == "function"  # its calls know nothing of one another, and each may be the last

    def asked() -> Iterator[list[Answered]]:
        for unit, keys in feed:
            missing = set(keys)
            rows = [g for g in answers.rows(unit) if (g.prompt_id, g.sample) in missing]
            for part in [[row] for row in rows] if alone else [rows]:
                units.append(part)
                yield [english.answered(prompts[g.prompt_id], g, exact) for g in part]

    for number, rewards in scored(scorer, asked()):
        for g, value in zip(units[number], rewards, strict=True):
            rewarded = None if records.wordless(g.text, g.finish_reason) else value  # a thought cut short is no answer
            spread = getattr(rewarded, "disagreement", None)
            score = Score(g.prompt_id, g.language, g.sample, rewarded, g.tokens, g.finish_reason, name, spread)
            # A model's unit is kept whole: its sums depend on what is scored together.
            work.add(score, tokens=g.tokens, together=not alone)
        units[number] = []
        if not alone:
            work.flush()


def reward_words(config: Config) -> tuple[str, ...]:
    """The reward, as a person calls it."""
    reward = config.reward
    return (reward.function or (PurePath(reward.path).name if reward.path else reward.kind),)


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

    def answered(self, prompt: Prompt, generation: Generation, exact: bool) -> Answered:
        """With the sampled ids where they are the scorer's, too (`exact`)."""
        english, answers = self.prompts.get(prompt.prompt_id, []), self.answers.get(prompt.prompt_id, ())
        ids = tuple(generation.token_ids) if exact else None
        return Answered(
            prompt.messages, generation.text, prompt.language, prompt.meta, prompt.prompt_id, english, answers, ids
        )


def _exact(config: Config) -> bool:
    """Whether log-probs are read of the ids that were sampled: the answering model's and the reward's tokenizer are alike."""
    parts = _implicit(config)
    if not parts or config.method.tokens != "generated":
        return False
    tokenizer = tokenizer_of(generators.candidates(config))
    return all(text.alike(tokenizer, tokenizer_of(factory.checkpoint(part))) for part in parts)


def _control_length(job: Job) -> dict[str, Any]:
    """Take what length alone gains off the rewards where the reward says so; the journals keep them as they were scored.

    Implicit rewards have a rule of their own (alpha); for all others it is their slope within prompts, which is told in any case.
    """
    options = options_of(job.config.reward)
    implicit = isinstance(options, ImplicitOptions) and options.length_step is not None
    table = job.output.table("scores")
    lengths = pc.utf8_length(job.inputs["generations"].table("generations", ["text"])["text"]).to_numpy()
    rewards = table["reward"].to_numpy(zero_copy_only=False).astype(float)
    scored = np.isfinite(rewards)
    pools = np.unique(table["prompt_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    slope = length.slope(rewards[scored], lengths[scored], pools[scored])
    told = {"reward_per_100_characters": round(100 * slope, 6)}
    if implicit:
        alpha = length.alpha(rewards[scored], lengths[scored], pools[scored], options.length_step)
        told["alpha"] = round(alpha, 6)
    elif job.config.reward.length == "control" and scored.any():
        alpha, lengths = slope, lengths - lengths[scored].mean()  # the level stays
    else:
        return told
    controlled = np.where(scored, rewards - alpha * lengths, np.nan)
    column = pa.array(controlled, pa.float64(), from_pandas=True)
    place = table.schema.get_field_index("reward")
    job.output.write_table(
        "scores", table.schema, table.set_column(place, table.schema.field(place), column).to_pylist()
    )
    return told


def accept(config: Config, summary: dict[str, Any]) -> None:
    """A judge whose numbers cannot be read stops the run; it says how many of a language's answers have no score."""
    judges = [part for part in scoring_parts(config.reward) if part.kind == "judge"]
    share = summary["failed"] / max(summary["rows"], 1)
    most = min((options_of(part).max_unreadable for part in judges), default=1.0)
    if share > most:
        raise UserError(
            f"reward.options.max_unreadable: {summary['failed']:,} of {summary['rows']:,} answers have no score that can be read "
            f"from the judge ({share:.0%}, at most {most:.0%}); look at what it writes, raise reward.options.max_new_tokens, or "
            "ask for <score>7</score> in reward.options.template"
        )


def _summary(job: Job) -> dict[str, Any]:
    rewards = job.output.table("scores", ["reward"])["reward"].drop_null().to_numpy()
    rows = job.output.table("scores", ["sample"]).num_rows
    if len(rewards) == 0:
        return {"rows": rows, "failed": rows}
    spreads = job.output.table("scores", ["disagreement"])["disagreement"].drop_null().to_numpy()
    told = {"mean_disagreement": round(float(np.mean(spreads)), 4)} if len(spreads) else {}
    return {
        "rows": rows,
        "failed": rows - len(rewards),
        **told,
        "mean_reward": round(float(np.mean(rewards)), 4),
        "std_reward": round(float(np.std(rewards)), 4),
    }


STAGE = Stage(
    name="scores",
    words=reward_words,
    needs=("prompts", "generations"),
    config=slice_of,
    fill=fill,
    run=run,
    version=2,
    per_language=True,
    also=also,
    accept=accept,
    wanted=pairs_wanted,
)
