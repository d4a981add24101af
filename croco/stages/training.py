"""A LoRA adapter, trained on the pairs (or on single answers) with the method's loss."""

from __future__ import annotations

from typing import Any

from croco import records, text
from croco.config import Config
from croco.engines.checkpoints import identity
from croco.errors import UserError
from croco.records import Message, Pair, Prompt
from croco.stages.base import Job, Stage

Rows = list[tuple[list[Message], tuple[str, ...]]]


def slice_of(config: Config) -> dict[str, Any]:
    method = records.as_dict(config.method)
    method.pop("name")
    model = config.model
    return {
        "model": identity(model.path, model.revision),
        "dtype": model.dtype,
        "chat_template": text.template_source(model.chat_template),
        "max_length": model.max_length,
        "lora": records.as_dict(model.lora),
        "method": method,
        "seed": config.seed,
    }


def run(job: Job) -> dict[str, Any]:
    from croco.training.data import encode
    from croco.training.loop import train

    model = job.config.model
    tokenizer = text.load_tokenizer(model.path, model.revision, model.chat_template, model.trust_remote_code)
    rows = _rows(job)
    examples, counts = encode(tokenizer, rows, model.max_length)
    done = train(job.config, examples, job.output.path, job.progress, job.tracker.log)
    tokenizer.save_pretrained(job.output.path / "adapter")
    job.progress.say(f"{job.label}: {done['steps']} steps, {done['verdict']}")
    return {
        "examples": len(examples),
        "left_out": dict(counts),
        "steps": done["steps"],
        "verdict": done["verdict"],
        "last": {name: round(value, 5) for name, value in done["last"].items()},
    }


def _rows(job: Job) -> Rows:
    """(prompt, answers): chosen and rejected, the chosen alone, or the data set's own answer."""
    trains_on = job.config.method.trains_on
    if trains_on == "reference":
        prompts = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"]
        rows: Rows = [(p.messages, (p.reference,)) for p in prompts if p.reference]
        if not rows:
            raise UserError("method.trains_on=reference: no prompt has a `reference` answer in this data")
        return rows
    pairs = job.inputs["pairs"].rows("pairs", Pair)
    if trains_on == "chosen":
        return [(p.prompt, (p.chosen[0]["content"],)) for p in pairs]
    return [(p.prompt, (p.chosen[0]["content"], p.rejected[0]["content"])) for p in pairs]


STAGE = Stage(name="training", needs=("prompts", "pairs"), config=slice_of, run=run, version=2)
