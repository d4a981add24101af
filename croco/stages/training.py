"""A LoRA adapter, trained on the pairs (or on single answers) with the method's loss."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.config import Config, seeds
from croco.engines import factory
from croco.language import text
from croco.models.checkpoints import tokenizer_of
from croco.models.slices import checkpoint_slice, lora_slice, tokenizer_slice
from croco.pairing.choose import draw
from croco.stages.base import Job, Stage

if TYPE_CHECKING:
    from croco.training.data import Examples, Probe
    from croco.training.start import Start

WATCHED = 200  # validation pairs that are looked at, at most; the others are left out of training all the same


def slice_of(config: Config) -> dict[str, Any]:
    """All that changes the adapter; hardware and packing change its last digits only and are left out."""
    method = records.as_dict(config.method)
    for name in ("name", "refresh_every", "reference", "round_data", "seed"):  # of rounds, and these see one
        method.pop(name)
    model = config.model
    seed, fresh = seeds.of_data(config), seeds.of_adapter(config)
    apart = model.adapter is None and fresh != seed  # one that goes on draws no first weights
    return {
        **checkpoint_slice(factory.policy(model)),
        "max_length": model.max_length,
        "lora": lora_slice(replace(model.lora, seed=fresh if apart else None)),
        "method": method,
        "seed": seed,
    }


def run(job: Job, start: Start | None = None) -> dict[str, Any]:
    """Train on the pairs from `start`; by default from the policy before training, which is also the reference."""
    from croco.training.data import Material
    from croco.training.launch import train
    from croco.training.start import Start

    model, method = job.config.model, job.config.method
    tokenizer = tokenizer_of(factory.policy(model))
    examples, watched, counts, as_what = _data(job, tokenizer)
    if method.tokens == "generated" and method.trains_on != "reference" and (anew := as_what.get("text", 0)):
        total = sum(as_what.values())
        job.progress.say(
            f"{job.label}: {anew:,} of {total:,} answers have no ids of this tokenizer: encoded from their text"
        )
    if start is None:
        adapter = None if model.adapter is None else Path(model.adapter)
        start = Start(adapter=adapter, reference=adapter)
    material = Material(examples, watched, _probes(job, tokenizer), start)
    if not (job.engines.in_turns and factory.have_room_together(job.config.engine)):
        job.engines.rest()  # training needs the device; rounds ask for the same engines again
    done = train(job.config, material, job.output.path, job.output.root, job.progress, job.tracker.log, job.engines)
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


def _data(job: Job, tokenizer: Any) -> tuple[Examples, Examples, Counter[str], dict[str, int]]:
    """(what is trained on, what is looked at, what was left out of the former, how many answers are trained on as what)."""
    from croco.training import encoding
    from croco.training import rows as source

    config, prompts, pairs = job.config, job.inputs["prompts"], job.inputs.get("pairs")
    model, method = config.model, config.method
    ids = source.prompt_ids(config, prompts, pairs)
    exact = source.exact(config, pairs, tokenizer)
    depends = {
        **tokenizer_slice(factory.policy(model)),
        "max_length": model.max_length,
        "trains_on": method.trains_on,
        "exact": sorted(exact),
    }
    encodings = encoding.Encodings(job.output.root, depends, dict(job.output.upstream))
    rows = source.each(config, prompts, pairs, exact)
    answers = encoding.of_rows(tokenizer, rows, len(ids), source.answers(config), model.max_length)
    found, as_what = encodings.of(answers, job.progress, job.label)
    held = {one for one in set(ids) if draw(seeds.of_data(config), "validation", one) < method.validation}
    is_held = np.fromiter((one in held for one in ids), bool, len(ids))
    kept, left = (np.flatnonzero(is_held == side) for side in (False, True))
    examples, counts = found.examples(kept if len(kept) else left)
    encoding.check(examples, counts, model.max_length)
    every = max(1, math.ceil(len(left) / WATCHED))  # over all languages, in whose order the pairs are
    watched, _ = found.examples(left[::every] if len(kept) else left[:0])
    return examples, watched, counts, as_what


def _probes(job: Job, tokenizer: Any) -> list[Probe]:
    """The first held-out prompts of each language."""
    from croco.training.data import Probe

    wanted = job.config.trainer.watch_prompts
    seen: Counter[str] = Counter()
    probes = []
    table = job.inputs["prompts"].table("prompts")
    for row in table.filter(pc.equal(table["split"], "heldout")).to_pylist():
        prompt = Prompt(**row)
        if seen[prompt.language] < wanted:
            seen[prompt.language] += 1
            probes.append(Probe(text.prompt_ids(tokenizer, prompt.messages), prompt.language))
    return probes


STAGE = Stage(name="training", needs=("prompts", "pairs"), config=slice_of, run=run, version=5)
