"""A LoRA adapter, trained on the pairs (or on single answers) with the method's loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.config import Config
from croco.engines import factory
from croco.language import text
from croco.models.checkpoints import tokenizer_of
from croco.models.slices import checkpoint_slice
from croco.pairing.choose import draw
from croco.stages.base import Job, Stage

if TYPE_CHECKING:
    from croco.training.data import Probe
    from croco.training.rows import Row
    from croco.training.start import Start

WATCHED = 200  # validation pairs that are looked at, at most; the others are left out of training all the same


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
    from croco.training.rows import rows as rows_of
    from croco.training.start import Start

    model, method = job.config.model, job.config.method
    tokenizer = tokenizer_of(factory.policy(model))
    rows = rows_of(job.config, job.inputs["prompts"], job.inputs.get("pairs"), tokenizer)
    as_what = _tokens(rows)
    if method.tokens == "generated" and method.trains_on != "reference" and (anew := as_what.get("text", 0)):
        total = sum(as_what.values())
        job.progress.say(
            f"{job.label}: {anew:,} of {total:,} answers have no ids of this tokenizer: encoded from their text"
        )
    held = {row.prompt_id for row in rows if draw(job.config.seed, "validation", row.prompt_id) < method.validation}
    parts = [[(r.messages, r.answers) for r in rows if (r.prompt_id in held) is side] for side in (False, True)]
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
        "answers_as": as_what,
        "steps": done["steps"],
        "tokens": done["tokens"],
        "verdict": done["verdict"],
        "reasons": done["reasons"],
        "last": {name: round(value, 5) for name, value in done["last"].items()},
    }


def _tokens(rows: Sequence[Row]) -> dict[str, int]:
    """How many answers are trained on as what: `method.tokens`."""
    counts = Counter("text" if isinstance(answer, str) else "generated" for row in rows for answer in row.answers)
    return dict(counts)


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
