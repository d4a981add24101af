"""A LoRA adapter, trained on the pairs (or on single answers) with the method's loss."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.artifacts import records
from croco.artifacts.records import Message, Pair, Prompt
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.language import text
from croco.models.slices import checkpoint_slice
from croco.pairing.choose import draw
from croco.stages.base import Job, Stage

if TYPE_CHECKING:
    from croco.training.data import Probe
    from croco.training.start import Start

WATCHED = 200  # validation pairs that are looked at, at most; the others are left out of training all the same
Rows = list[tuple[str, list[Message], tuple[str, ...]]]


def slice_of(config: Config) -> dict[str, Any]:
    """All that changes the adapter; hardware and packing change its last digits only and are left out."""
    method = records.as_dict(config.method)
    for name in ("name", "refresh_every", "reference", "round_data"):  # what rounds are made of, and these see one
        method.pop(name)
    model = config.model
    return {
        **checkpoint_slice(factory.policy(model)),
        "max_length": model.max_length,
        "lora": records.as_dict(model.lora),
        "method": method,
        "seed": config.seed,
    }


def run(job: Job, start: Start | None = None) -> dict[str, Any]:
    """Train on the pairs from `start`; by default from the policy before training, which is also the reference."""
    from croco.training.data import Material, encode
    from croco.training.launch import train
    from croco.training.start import Start

    model, method = job.config.model, job.config.method
    tokenizer = text.load_tokenizer(model.path, model.revision, model.chat_template, model.trust_remote_code)
    rows = _rows(job)
    held = {row[0] for row in rows if draw(job.config.seed, "validation", row[0]) < method.validation}
    parts = [[(p, a) for prompt_id, p, a in rows if (prompt_id in held) is side] for side in (False, True)]
    examples, counts = encode(tokenizer, parts[0] or parts[1], model.max_length)
    every = math.ceil(len(parts[1]) / WATCHED)  # over all languages, in whose order the pairs are
    watched, _ = encode(
        tokenizer, parts[1][::every] if parts[0] and parts[1] else [], model.max_length, may_be_empty=True
    )
    if start is None:
        adapter = None if model.adapter is None else Path(model.adapter)
        start = Start(adapter=adapter, reference=adapter)
    material = Material(examples, watched, _probes(job, tokenizer), start)
    if method.refresh_every is None or not factory.have_room_together(job.config.engine):
        job.engines.close()  # training needs the device; rounds ask for the same engines again
    done = train(job.config, material, job.output.path, job.output.root, job.progress, job.tracker.log)
    tokenizer.save_pretrained(job.output.path / "adapter")
    why = f" ({'; '.join(done['reasons'])})" if done["reasons"] else ""
    job.progress.say(f"{job.label}: {done['steps']} steps, {done['tokens']:,} answer tokens, {done['verdict']}{why}")
    return {
        "examples": len(examples),
        "validation": len(watched),
        "left_out": dict(counts),
        "steps": done["steps"],
        "tokens": done["tokens"],
        "verdict": done["verdict"],
        "reasons": done["reasons"],
        "last": {name: round(value, 5) for name, value in done["last"].items()},
    }


def _rows(job: Job) -> Rows:
    """(prompt_id, prompt, answers): chosen and rejected, the chosen alone, or the data set's own answer."""
    trains_on = job.config.method.trains_on
    if trains_on == "reference":
        prompts = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"]
        rows: Rows = [(p.prompt_id, p.messages, (p.reference,)) for p in prompts if p.reference]
        if not rows:
            raise UserError("method.trains_on=reference: no prompt has a `reference` answer in this data")
        return rows
    pairs = job.inputs["pairs"].rows("pairs", Pair)
    if trains_on == "chosen":
        return [(p.prompt_id, p.prompt, (p.chosen[0]["content"],)) for p in pairs]
    return [(p.prompt_id, p.prompt, (p.chosen[0]["content"], p.rejected[0]["content"])) for p in pairs]


def _probes(job: Job, tokenizer: Any) -> list[Probe]:
    """The first held-out prompts of each language."""
    from croco.training.data import Probe

    wanted = job.config.trainer.watch_prompts
    seen: Counter[str] = Counter()
    probes = []
    for prompt in job.inputs["prompts"].rows("prompts", Prompt):
        if prompt.split == "heldout" and seen[prompt.language] < wanted:
            seen[prompt.language] += 1
            probes.append(Probe(text.prompt_ids(tokenizer, prompt.messages), prompt.language))
    return probes


STAGE = Stage(name="training", needs=("prompts", "pairs"), config=slice_of, run=run, version=5)
