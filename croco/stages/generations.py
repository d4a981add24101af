"""Answers: K samples of every training prompt to pair, and the answers to held-out prompts that evaluation compares."""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from croco import records, reuse, text
from croco.config import Config, SamplingConfig
from croco.engines import factory
from croco.engines.base import Completion, Request, seed_of
from croco.engines.checkpoints import Checkpoint, adapter_identity, identity
from croco.evals import trajectory
from croco.records import Generation, Prompt
from croco.sharing import Cut, Key, Work, incomplete
from croco.stages.base import Job, Stage
from croco.store import write_atomically

SETTINGS = "engine.json"  # what the engine that made the rows really used
ADAPTER = "adapter"  # what training leaves at its end, below its folder


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


def encoded(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt as the policy reads it."""
    return text.prompt_ids(tokenizer, prompt.messages)


Encode = Callable[[Any, Prompt], list[int]]


def fill(
    job: Job,
    checkpoint: Checkpoint,
    split: str,
    sampling: SamplingConfig,
    source: str = "prompts",
    encode: Encode = encoded,
) -> None:
    """Bring to the journals `sampling.samples` answers of the checkpoint to every prompt of a split of `source`."""
    config = job.config
    prompts = _prompts(job, split, source)
    size = config.workers.prompts_per_unit

    def keys(unit: int) -> list[Key]:
        return [(p.prompt_id, s) for p in prompts[unit * size : (unit + 1) * size] for s in range(sampling.samples)]

    total = len(prompts) * sampling.samples
    cut = Cut(f"{size}p", -(-len(prompts) // size), keys, ("prompt_id", "sample"), total, "answers")
    take_over = functools.partial(_take_over, job, source, sampling.samples)
    tokenizer = text.load_tokenizer(
        checkpoint.path, checkpoint.revision, checkpoint.chat_template, checkpoint.trust_remote_code
    )
    asked = _Asked(tokenizer, {p.prompt_id: p for p in prompts}, sampling, encode)
    with Work(job.output, cut, job.terms, job.progress, job.label, take_over) as work:
        for feed in work.feeds(ahead=not job.terms.shared or factory.takes_as_needed(config.engine)):
            engine = factory.held_generator(job.engines, config.engine, checkpoint, tokenizer, sampling)
            write_atomically(job.output.path / SETTINGS, json.dumps(engine.settings, indent=1))
            for completion in engine.generate(asked.requests(feed)):
                work.add(_row(completion, tokenizer, checkpoint), tokens=len(completion.token_ids))


def seal(job: Job, split: str, sampling: SamplingConfig, source: str = "prompts") -> dict[str, Any]:
    """Turn the journals that `fill` filled into `generations`.

    Raises:
        UserError: they do not hold all answers.
    """
    total = len(_prompts(job, split, source)) * sampling.samples
    count = job.output.seal_journal("generations", Generation, order=lambda r: (r["prompt_id"], r["sample"]))
    if count != total:
        raise incomplete(job.output, count, total, "answers")
    return _summary(job)


def _prompts(job: Job, split: str, source: str) -> list[Prompt]:
    return [p for p in job.single(source).rows("prompts", Prompt) if p.split == split]


def _take_over(job: Job, source: str, samples: int, done: set[Key]) -> int:
    """Answers of other artifacts to the same prompts."""
    prompts = job.single(source)
    taken = reuse.take_over_generations(job.output, prompts, samples, done)
    settings = reuse.file_of_a_sibling(job.output, (prompts,), SETTINGS) if taken else None
    if settings is not None and not (job.output.path / SETTINGS).exists():
        (job.output.path / SETTINGS).write_bytes(settings.read_bytes())
    return taken


@dataclass(frozen=True)
class _Asked:
    """What is missing, as what an engine is asked."""

    tokenizer: Any
    prompts: dict[str, Prompt]
    sampling: SamplingConfig
    encode: Encode

    def requests(self, feed: Iterator[tuple[int, list[Key]]]) -> Iterator[Request]:
        """Runs of consecutive samples of a prompt."""
        for _, missing in feed:
            for prompt_id, keys in itertools.groupby(missing, key=lambda key: key[0]):
                p = self.prompts[prompt_id]
                ids = self.encode(self.tokenizer, p)
                seed = seed_of(self.sampling.seed, p.prompt_id, p.language)
                for first, stop in _runs([sample for _, sample in keys]):
                    yield Request(p.prompt_id, p.language, ids, range(first, stop), seed)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Maximal runs of consecutive numbers of a sorted list, as half-open intervals."""
    start = numbers[0]
    for number, following in itertools.pairwise([*numbers, -1]):
        if following != number + 1:
            yield start, number + 1
            start = following


def _row(completion: Completion, tokenizer: Any, checkpoint: Checkpoint) -> Generation:
    request = completion.request
    return Generation(
        prompt_id=request.prompt_id,
        language=request.language,
        sample=completion.sample,
        text=text.decode(tokenizer, completion.token_ids),
        token_ids=completion.token_ids,
        finish_reason=completion.finish_reason,
        prompt_tokens=len(request.token_ids),
        tokens=len(completion.token_ids),
        seed=request.seed + completion.sample,
        model=checkpoint.path,
        revision=checkpoint.revision or "",
    )


def _summary(job: Job) -> dict[str, Any]:
    """Counted block by block: the texts together may be larger than memory."""
    rows = tokens = empty = 0
    reasons: Counter[str] = Counter()
    for file in job.output.files("generations"):
        for batch in pq.ParquetFile(file).iter_batches(columns=["finish_reason", "tokens", "text"]):
            rows += batch.num_rows
            tokens += int(batch["tokens"].to_numpy().sum())
            reasons.update(batch["finish_reason"].to_pylist())
            empty += batch["text"].to_pylist().count("")
    settings = job.output.path / SETTINGS  # not there when all answers were taken over from where it has been lost
    return {
        "rows": rows,
        "tokens": tokens,
        "mean_tokens": round(tokens / max(rows, 1), 2),
        "finish_reason": dict(reasons),
        "engine": json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else None,
        "empty": empty,
    }


def _system(job: Job, adapter: str | None) -> Checkpoint:
    """The policy with an adapter that training left in its folder; before training with None."""
    checkpoint = factory.policy(job.config.model)
    return checkpoint if adapter is None else replace(checkpoint, adapter=job.single("training").path / adapter)


def _fill_answers(job: Job, adapter: str | None) -> None:
    fill(job, _system(job, adapter), "heldout", evaluation_sampling(job.config))


def _fill_checked(job: Job, adapter: str | None) -> None:
    fill(job, _system(job, adapter), "checks", checks_sampling(job.config), "checks_prompts")


def _evaluates(config: Config) -> bool:
    return config.evals.quality is not None


STAGE = Stage(
    name="generations",
    needs=("prompts",),
    config=lambda c: slice_of(c, candidates_checkpoint(c), "train", c.sampling),
    fill=lambda job: fill(job, candidates_checkpoint(job.config), "train", job.config.sampling),
    run=lambda job: seal(job, "train", job.config.sampling),
    version=1,
    per_language=True,
)
ANSWERS_BASE = Stage(
    name="answers_base",
    needs=("prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "heldout", evaluation_sampling(c)),
    fill=functools.partial(_fill_answers, adapter=None),
    run=lambda job: seal(job, "heldout", evaluation_sampling(job.config)),
    version=STAGE.version,
    folder="generations",
    per_language=True,
    wanted=_evaluates,
)
ANSWERS_TUNED = replace(
    ANSWERS_BASE,
    name="answers_tuned",
    needs=("prompts", "training"),
    fill=functools.partial(_fill_answers, adapter=ADAPTER),
)
CHECKED_BASE = replace(
    ANSWERS_BASE,
    name="checked_base",
    needs=("checks_prompts",),
    config=lambda c: slice_of(c, factory.policy(c.model), "checks", checks_sampling(c)),
    fill=functools.partial(_fill_checked, adapter=None),
    run=lambda job: seal(job, "checks", checks_sampling(job.config), "checks_prompts"),
    wanted=lambda c: c.evals.checks is not None,
)
CHECKED_TUNED = replace(
    CHECKED_BASE,
    name="checked_tuned",
    needs=("checks_prompts", "training"),
    fill=functools.partial(_fill_checked, adapter=ADAPTER),
)


def answers_at(step: int) -> Stage:
    """As ANSWERS_TUNED, after `step` optimiser steps."""
    return _at(ANSWERS_TUNED, _fill_answers, step)


def checked_at(step: int) -> Stage:
    """As CHECKED_TUNED, after `step` optimiser steps."""
    return _at(CHECKED_TUNED, _fill_checked, step)


def _at(tuned: Stage, answer: Callable[[Job, str], None], step: int) -> Stage:
    return replace(
        tuned,
        name=tuned.name.replace("tuned", str(step)),
        config=lambda config: {**tuned.config(config), "step": step},
        fill=lambda job: answer(job, trajectory.folder(step)),
    )
