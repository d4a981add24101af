"""The data set's own answers, as rows like a model's, so that they are scored and paired like one's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.language import text
from croco.models.checkpoints import tokenizer_of
from croco.models.slices import tokenizer_slice
from croco.stages.base import Job, Stage, pairs_wanted

MODEL = "reference"


def slice_of(config: Config) -> dict[str, Any]:
    """Lengths are counted in the policy's tokens."""
    return tokenizer_slice(factory.policy(config.model))


def run(job: Job) -> dict[str, Any]:
    prompts = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"]
    answered = [p for p in prompts if p.reference is not None and p.reference.strip()]
    if not answered:
        raise UserError(
            f"source.shares: no prompt in '{job.language}' has an answer of its own (a `reference` column); "
            "leave `reference` out of the mixture"
        )
    rows = map(records.as_dict, _generations(job.config, answered))
    count = job.output.write_table("generations", records.schema(Generation), rows)
    return {"rows": count, "without_answer": len(prompts) - count}


def _generations(config: Config, prompts: list[Prompt]) -> Iterator[Generation]:
    tokenizer = tokenizer_of(factory.policy(config.model))
    for p in sorted(prompts, key=lambda p: p.prompt_id):
        assert p.reference is not None
        ids = text.answer_ids(tokenizer, p.reference.strip())
        yield Generation(
            prompt_id=p.prompt_id,
            language=p.language,
            sample=0,
            text=p.reference,
            token_ids=ids,
            finish_reason="stop",
            prompt_tokens=len(text.prompt_ids(tokenizer, p.messages)),
            tokens=len(ids),
            seed=0,
            model=MODEL,
            revision="",
        )


STAGE = Stage(
    name="references",
    needs=("prompts",),
    config=slice_of,
    run=run,
    version=1,
    folder="references",
    per_language=True,
    wanted=lambda config: pairs_wanted(config) and "reference" in (config.source.shares or {}),
)
