"""What all stages share that answer prompts: their part of an address, the work, and the rows it leaves."""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from croco.artifacts import records, reuse
from croco.artifacts.files import write_atomically
from croco.artifacts.records import Generation, Prompt
from croco.artifacts.sharing import Cut, Key, Work, incomplete
from croco.config import Config, EngineConfig, SamplingConfig
from croco.engines import factory
from croco.engines.base import Completion, Request, seed_of, telling
from croco.language import marks, text
from croco.models.checkpoints import Checkpoint, tokenizer_of
from croco.models.slices import checkpoint_slice, engine_slice
from croco.stages.base import Job

Encode = Callable[[Any, Prompt], list[int]]

SETTINGS = "engine.json"  # what the engine that made the rows really used


def slice_of(
    config: Config, checkpoint: Checkpoint, split: str, sampling: SamplingConfig, role: str = "policy"
) -> dict[str, Any]:
    return {
        "split": split,
        **checkpoint_slice(checkpoint),
        **engine_slice(config.engine.of(role)),
        "sampling": records.as_dict(sampling),
    }


def encoded(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt as the policy reads it."""
    return text.prompt_ids(tokenizer, prompt.messages)


def fill(
    job: Job,
    checkpoint: Checkpoint,
    split: str,
    sampling: SamplingConfig,
    source: str = "prompts",
    encode: Encode = encoded,
    engine: EngineConfig | None = None,
) -> None:
    """Bring to the journals `sampling.samples` answers of the checkpoint to every prompt of a split of `source`.

    Args:
        engine: as the checkpoint's role has it; None is the policy's.
    """
    config = job.config
    engine = engine or config.engine.of("policy")
    prompts = _prompts(job, split, source)
    size = config.workers.prompts_per_unit

    def keys(unit: int) -> list[Key]:
        return [(p.prompt_id, s) for p in prompts[unit * size : (unit + 1) * size] for s in range(sampling.samples)]

    total = len(prompts) * sampling.samples
    units = -(-len(prompts) // size)
    cut = Cut(f"{size}p", units, keys, ("prompt_id", "sample"), total, "answers", sampling.max_new_tokens)
    take_over = functools.partial(_take_over, job, source, sampling.samples)
    tokenizer = tokenizer_of(checkpoint)
    asked = _Asked(tokenizer, {p.prompt_id: p for p in prompts}, sampling, encode)
    with Work(job.output, cut, job.terms, job.progress, job.label, take_over) as work:
        for feed in work.feeds(ahead=not job.terms.shared or factory.takes_as_needed(engine)):
            held = factory.held_generator(job.engines, engine, checkpoint, tokenizer, sampling)
            write_atomically(job.output.path / SETTINGS, json.dumps(held.settings, indent=1))
            with telling(held, work.written):
                for completion in held.generate(asked.requests(feed)):
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
    return _summary(job, _prompts(job, split, source))


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


def _summary(job: Job, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Counted block by block: the texts together may be larger than memory."""
    rows = tokens = empty = wordless = 0
    tokenizer = tokenizer_of(factory.policy(job.config.model))
    spelled = {
        "prompts": sum(any(marks.spells(tokenizer, m["content"]) for m in p.messages) for p in prompts),
        "answers": 0,
    }
    reasons: Counter[str] = Counter()
    for file in job.output.files("generations"):
        for batch in pq.ParquetFile(file).iter_batches(columns=["finish_reason", "tokens", "text"]):
            rows += batch.num_rows
            tokens += int(batch["tokens"].to_numpy().sum())
            texts, ends = batch["text"].to_pylist(), batch["finish_reason"].to_pylist()
            reasons.update(ends)
            empty += texts.count("")
            spelled["answers"] += sum(marks.spells(tokenizer, said) for said in texts)
            wordless += sum(map(records.wordless, texts, ends))
    settings = job.output.path / SETTINGS  # not there when all answers were taken over from where it has been lost
    return {
        "rows": rows,
        "tokens": tokens,
        "mean_tokens": round(tokens / max(rows, 1), 2),
        "finish_reason": dict(reasons),
        "engine": json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else None,
        "empty": empty,
        "wordless": wordless,
        "spelled": spelled,
        "notes": [
            note
            for count, note in (
                (wordless, f"{wordless:,} cut off before a word of the answer, as thoughts are"),
                (
                    sum(spelled.values()),
                    "{prompts:,} prompts and {answers:,} answers spell a mark, as text".format(**spelled),
                ),
            )
            if count
        ],
    }
