"""Ready-made data in the place of what a run makes: read once, then prompts, answers, rewards or pairs in their stages' form.

The stages whose places they take are handed over by `croco.stages.stages`.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt, Score
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.language import marks, text
from croco.models.checkpoints import tokenizer_of
from croco.models.slices import tokenizer_slice
from croco.pairing import ready as pairing
from croco.pairing import show
from croco.prompts import parsing, ready, rows, sampling
from croco.prompts.ready import KEY, ReadyAnswer, ReadyPair
from croco.stages import templates
from croco.stages.base import Job, Stage, brought, pairs_wanted

SAID = 5  # reasons that the progress line tells


def _slice(config: Config) -> dict[str, Any]:
    """With the content of files in place of their path; a hub data set by its commit."""
    data = records.as_dict(config.data)
    if not rows.is_hub_id(str(config.data.path)):
        data["path"] = sorted(rows.digests(Path(str(config.data.path)), KEY).values())
    return {"data": data, "languages": sorted(config.lang.languages), "system": config.prompts.system}


def _read(job: Job) -> dict[str, Any]:
    """Fill `prompts` and `rows`: what is in the languages of the run, each prompt with its split."""
    data, languages = job.config.data, job.config.lang.languages
    counts: Counter[str] = Counter()
    found: dict[tuple[str, str], Prompt] = {}
    system = job.config.prompts.system
    kind = ReadyPair if data.kind == "pairs" else ReadyAnswer

    def kept() -> Iterator[dict[str, Any]]:
        for read in ready.read(data, languages, counts):
            one = replace(read, messages=parsing.without_system(read.messages, system))
            found.setdefault((one.prompt_id, one.language), Prompt(one.prompt_id, one.language, one.messages, ""))
            yield records.as_dict(one)

    count = job.output.write_table("rows", records.schema(kind), kept())
    if count == 0:
        raise UserError(f"{KEY}: {data.path}: nothing in {', '.join(languages)} ({_told(counts) or 'no rows'})")
    asked = replace(job.config.prompts, train=data.prompts or sys.maxsize, heldout=data.heldout, seed=data.seed)
    prompts = sampling.draw(asked, found.values())
    prompts.sort(key=lambda p: (p.language, p.split, p.prompt_id))
    job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, prompts))
    return {"rows": count, "prompts": len(prompts), "left_out": dict(counts)}


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common(SAID))


DATA = Stage(
    name="data",
    needs=(),
    config=_slice,
    words=lambda config: (Path(str(config.data.path)).name.split(".")[0], config.data.kind),
    run=_read,
    version=1,
    wanted=lambda config: not config.data.made,
)


def prompts(stage: Stage) -> Stage:
    """The prompts of the data."""

    def run(job: Job) -> dict[str, Any]:
        every = job.single("data").rows("prompts", Prompt)
        own = [p for p in every if p.language == job.language]
        splits = Counter(p.split for p in own)
        if not splits["train"]:
            there = ", ".join(sorted({p.language for p in every}))
            raise UserError(f"{KEY}: {job.config.data.path}: nothing to train on in '{job.language}', only in {there}")
        job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, own))
        return {"rows": len(own), **splits, "roles": templates.roles(own)}

    return Stage(
        name=stage.name,
        needs=("data",),
        config=lambda config: {},
        words=lambda config: (Path(str(config.data.path)).name.split(".")[0],),
        run=run,
        version=1,
        per_language=True,
        accept=stage.accept,
        wanted=lambda config: not config.data.made,
    )


def generations(stage: Stage) -> Stage:
    """The answers of the data, in the policy's tokens."""
    return replace(
        stage,
        needs=("data", "prompts"),
        config=_tokens_slice,
        fill=None,
        run=_answers,
        version=1,
        wanted=lambda config: brought(config, "answers", "scores") and pairs_wanted(config),
    )


def _tokens_slice(config: Config) -> dict[str, Any]:
    return tokenizer_slice(factory.policy(config.model))


def _to_train(job: Job) -> set[str]:
    return {p.prompt_id for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"}


def _ready(job: Job, columns: list[str]) -> list[dict[str, Any]]:
    """The answers to prompts that are trained on, in the order of generations."""
    train = _to_train(job)
    table = pq.read_table(
        job.single("data").path / "rows.parquet", columns=columns, filters=[("language", "=", job.language)]
    )
    some = (row for row in table.to_pylist() if row["prompt_id"] in train)
    return sorted(some, key=lambda row: (row["prompt_id"], row["sample"]))


def _answers(job: Job) -> dict[str, Any]:
    tokenizer = tokenizer_of(factory.policy(job.config.model))
    lengths = {
        p.prompt_id: len(text.prompt_ids(tokenizer, p.messages))
        for p in job.inputs["prompts"].rows("prompts", Prompt)
        if p.split == "train"
    }
    reasons: Counter[str] = Counter()

    def made() -> Iterator[dict[str, Any]]:
        for row in _ready(job, ["prompt_id", "language", "sample", "text", "finish_reason", "model"]):
            ids = text.answer_ids(tokenizer, row["text"].strip())
            reasons[row["finish_reason"]] += 1
            told: dict[str, Any] = {"tokens": len(ids), "prompt_tokens": lengths[row["prompt_id"]]}
            yield records.as_dict(Generation(**row, **told, token_ids=ids, seed=0, revision=""))

    count = job.output.write_table("generations", records.schema(Generation), made())
    return {"rows": count, "finish_reason": dict(reasons)}


def scores(stage: Stage) -> Stage:
    """The rewards that the answers bring."""
    return replace(
        stage,
        needs=("data", "generations", "prompts"),
        config=lambda config: {},
        also=lambda config: (),
        accept=lambda config, summary: None,
        words=lambda config: ("brought",),
        fill=None,
        run=_scores,
        version=1,
        wanted=lambda config: brought(config, "scores") and pairs_wanted(config),
    )


def _scores(job: Job) -> dict[str, Any]:
    tokens = job.inputs["generations"].table("generations", ["tokens"])["tokens"].to_pylist()
    given = _ready(job, ["prompt_id", "language", "sample", "finish_reason", "reward"])
    made = [
        records.as_dict(Score(**row, tokens=length, reward_model=pairing.SOURCE))
        for row, length in zip(given, tokens, strict=True)
    ]
    job.output.write_table("scores", records.schema(Score), made)
    return {"rows": len(made), "failed": sum(row["reward"] is None for row in made)}


def pairs(stage: Stage) -> Stage:
    """The preferences of the data."""
    return replace(
        stage,
        needs=("data", "prompts"),
        config=_tokens_slice,
        run=_pairs,
        version=1,
        wanted=lambda config: brought(config, "pairs") and pairs_wanted(config),
    )


def _pairs(job: Job) -> dict[str, Any]:
    tokenizer = tokenizer_of(factory.policy(job.config.model))
    train = {(p.prompt_id, p.language) for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"}
    every = job.single("data").table("rows").to_pylist()
    kept = [row for row in every if (row["prompt_id"], row["language"]) in train]
    kept.sort(key=lambda row: (row["prompt_id"], row["language"]))  # stable: as they came within a prompt
    left_out = {**job.single("data").summary["left_out"], "held out, or beyond data.prompts": len(every) - len(kept)}
    summary = pairing.write(
        kept,
        lambda answer: len(text.answer_ids(tokenizer, answer.strip())),
        job.output.path / "pairs.parquet",
        left_out,
        functools.partial(marks.spells, tokenizer),
    )
    job.progress.console.print(show.render(summary["report"], job.progress.console.width))
    return summary
