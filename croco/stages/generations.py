"""Answers: K samples of every training prompt to pair, and the answers to held-out prompts that evaluation compares."""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from croco import records, reuse, text
from croco.config import Config, SamplingConfig
from croco.engines import factory
from croco.engines.base import Completion, Request, seed_of
from croco.engines.checkpoints import Checkpoint, adapter_identity, identity
from croco.errors import UserError
from croco.evals import trajectory
from croco.records import Generation, Prompt
from croco.stages.base import Job, Stage

SETTINGS = "engine.json"  # what the engine that made the rows really used
ADAPTER = "adapter"  # what training leaves at its end, below its folder
FLUSH_SECONDS = 2.0  # a row waits at most this long before it is on the disk


def candidates_checkpoint(config: Config) -> Checkpoint:
    """Whose answers are paired: the policy's, or another model's."""
    if config.source.kind == "on_policy":
        return factory.policy(config.model)
    source = config.source
    return replace(
        factory.policy(config.model),
        path=str(source.model),
        revision=source.revision,
        chat_template=None if source.adapter is None else config.model.chat_template,
        adapter=None if source.adapter is None else Path(source.adapter),
    )


def slice_of(config: Config, checkpoint: Checkpoint, split: str, sampling: SamplingConfig) -> dict[str, Any]:
    return {
        "split": split,
        "model": identity(checkpoint.path, checkpoint.revision),
        **adapter_identity(checkpoint.adapter),
        "dtype": checkpoint.dtype,
        "chat_template": text.template_source(checkpoint.chat_template),
        "engine": config.engine.name,
        "sampling": records.as_dict(sampling),
    }


def evaluation_sampling(config: Config) -> SamplingConfig:
    """As the candidates, but as many answers as the evaluations want, from other seeds."""
    samples = config.evals.quality.samples if config.evals.quality is not None else 1
    return replace(config.sampling, samples=samples, seed=config.sampling.seed + 1)


def checks_sampling(config: Config) -> SamplingConfig:
    """How prompts with checkable instructions are answered."""
    checks = config.evals.checks
    if checks is None:
        return config.sampling
    return replace(
        config.sampling,
        samples=checks.samples,
        temperature=checks.temperature,
        top_p=1.0,
        max_new_tokens=checks.max_new_tokens or config.sampling.max_new_tokens,
        seed=config.sampling.seed + 2,
    )


def generate(
    job: Job, checkpoint: Checkpoint, split: str, sampling: SamplingConfig, source: str = "prompts"
) -> dict[str, Any]:
    """Fill `generations` with `sampling.samples` answers of the checkpoint to every prompt of a split of `source`."""
    config = job.config
    tokenizer = text.load_tokenizer(
        checkpoint.path, checkpoint.revision, checkpoint.chat_template, checkpoint.trust_remote_code
    )
    prompts = [p for p in job.single(source).rows("prompts", Prompt) if p.split == split]
    done = _done(job, source, sampling.samples)
    total = len(prompts) * sampling.samples
    if len(done) < total:
        engine = factory.held_generator(job.engines, config.engine, checkpoint, tokenizer, sampling)
        rows = _Rows(job, tokenizer, checkpoint)
        (job.output.path / SETTINGS).write_text(json.dumps(engine.settings, indent=1), encoding="utf-8")
        try:
            with job.progress.task(f"{job.label}", total, "answers", done=len(done)) as task:
                for completion in engine.generate(_requests(tokenizer, prompts, sampling, done)):
                    rows.add(completion)
                    task.advance(1, tokens=len(completion.token_ids))
        finally:
            rows.close()
    count = job.output.seal_journal("generations", Generation, order=lambda r: (r["prompt_id"], r["sample"]))
    if count != total:
        raise UserError(f"{job.output.path}: {count} of {total} answers are there; run again to make the rest")
    return _summary(job)


def _done(job: Job, source: str, samples: int) -> set[tuple[str, int]]:
    """What need not be generated: an earlier attempt's answers, and other artifacts' to the same prompts."""
    done = {(r["prompt_id"], r["sample"]) for _, _, r in job.output.journalled()}
    prompts = job.single(source)
    taken = reuse.take_over_generations(job.output, prompts, samples, done)
    if not taken:
        return done
    job.progress.say(f"{job.label}: {taken:,} answers taken over")
    settings = reuse.file_of_a_sibling(job.output, (prompts,), SETTINGS)
    if settings is not None and not (job.output.path / SETTINGS).exists():
        (job.output.path / SETTINGS).write_bytes(settings.read_bytes())
    return {(r["prompt_id"], r["sample"]) for _, _, r in job.output.journalled()}


def _requests(tokenizer: Any, prompts: list[Prompt], sampling: SamplingConfig, done: set[Any]) -> Iterator[Request]:
    """What is still missing, as runs of consecutive samples."""
    for p in prompts:
        missing = [s for s in range(sampling.samples) if (p.prompt_id, s) not in done]
        if not missing:
            continue
        ids = text.prompt_ids(tokenizer, p.messages)
        for first, stop in _runs(missing):
            yield Request(
                p.prompt_id, p.language, ids, range(first, stop), seed_of(sampling.seed, p.prompt_id, p.language)
            )


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Maximal runs of consecutive numbers of a sorted list, as half-open intervals."""
    start = numbers[0]
    for number, following in itertools.pairwise([*numbers, -1]):
        if following != number + 1:
            yield start, number + 1
            start = following


class _Rows:
    """Completions on their way to the journal."""

    def __init__(self, job: Job, tokenizer: Any, checkpoint: Checkpoint) -> None:
        self.journal = job.output.journal()
        self.tokenizer = tokenizer
        self.model = checkpoint.path
        self.revision = checkpoint.revision or ""
        self.waiting: list[Generation] = []
        self.flushed = time.monotonic()

    def add(self, completion: Completion) -> None:
        request = completion.request
        self.waiting.append(
            Generation(
                prompt_id=request.prompt_id,
                language=request.language,
                sample=completion.sample,
                text=text.decode(self.tokenizer, completion.token_ids),
                token_ids=completion.token_ids,
                finish_reason=completion.finish_reason,
                prompt_tokens=len(request.token_ids),
                tokens=len(completion.token_ids),
                seed=request.seed + completion.sample,
                model=self.model,
                revision=self.revision,
            )
        )
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self.journal.append(self.waiting)
        self.waiting = []
        self.flushed = time.monotonic()

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self.journal.close()


def _summary(job: Job) -> dict[str, Any]:
    table = job.output.table("generations", ["finish_reason", "tokens", "text"])
    reasons = Counter(table["finish_reason"].to_pylist())
    tokens = table["tokens"].to_numpy()
    return {
        "rows": table.num_rows,
        "tokens": int(tokens.sum()),
        "mean_tokens": round(float(tokens.mean()), 2),
        "finish_reason": dict(reasons),
        "engine": json.loads((job.output.path / SETTINGS).read_text(encoding="utf-8")),
        "empty": sum(not t for t in table["text"].to_pylist()),
    }


def _candidates(job: Job) -> dict[str, Any]:
    return generate(job, candidates_checkpoint(job.config), "train", job.config.sampling)


def _system(job: Job, adapter: str | None) -> Checkpoint:
    """The policy with an adapter that training left in its folder; before training with None."""
    checkpoint = factory.policy(job.config.model)
    return checkpoint if adapter is None else replace(checkpoint, adapter=job.single("training").path / adapter)


def _answers(job: Job, adapter: str | None) -> dict[str, Any]:
    return generate(job, _system(job, adapter), "heldout", evaluation_sampling(job.config))


def _checked(job: Job, adapter: str | None) -> dict[str, Any]:
    return generate(job, _system(job, adapter), "checks", checks_sampling(job.config), "checks_prompts")


def _evaluates(config: Config) -> bool:
    return config.evals.quality is not None


STAGE = Stage(
    name="generations",
    needs=("prompts",),
    config=lambda c: slice_of(c, candidates_checkpoint(c), "train", c.sampling),
    run=_candidates,
    version=1,
    per_language=True,
)
ANSWERS_BASE = Stage(
    name="answers_base",
    needs=("prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "heldout", evaluation_sampling(c)),
    run=functools.partial(_answers, adapter=None),
    version=STAGE.version,
    folder="generations",
    per_language=True,
    wanted=_evaluates,
)
ANSWERS_TUNED = replace(
    ANSWERS_BASE, name="answers_tuned", needs=("prompts", "training"), run=functools.partial(_answers, adapter=ADAPTER)
)
CHECKED_BASE = replace(
    ANSWERS_BASE,
    name="checked_base",
    needs=("checks_prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "checks", checks_sampling(c)),
    run=functools.partial(_checked, adapter=None),
    wanted=lambda c: c.evals.checks is not None,
)
CHECKED_TUNED = replace(
    CHECKED_BASE,
    name="checked_tuned",
    needs=("checks_prompts", "training"),
    run=functools.partial(_checked, adapter=ADAPTER),
)


def answers_at(step: int) -> Stage:
    """As ANSWERS_TUNED, after `step` optimiser steps."""
    return _at(ANSWERS_TUNED, _answers, step)


def checked_at(step: int) -> Stage:
    """As CHECKED_TUNED, after `step` optimiser steps."""
    return _at(CHECKED_TUNED, _checked, step)


def _at(tuned: Stage, answer: Callable[[Job, str], dict[str, Any]], step: int) -> Stage:
    return replace(
        tuned,
        name=tuned.name.replace("tuned", str(step)),
        config=lambda config: {**tuned.config(config), "step": step},
        run=lambda job: answer(job, trajectory.folder(step)),
    )
