"""Prompts in one language, split into train and held-out in the same way for all languages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Generation, Prompt
from croco.config import Config, PromptsConfig
from croco.config.valid import EVERY_TASK
from croco.errors import UserError
from croco.prompts import parsing, reading, sampling
from croco.prompts import translation as translation_of
from croco.stages import templates
from croco.stages.base import Job, Stage


def slice_of(config: Config) -> dict[str, Any]:
    """With the content of local files, and the tokenizer where lengths are counted in tokens."""
    prompts = records.as_dict(config.prompts)
    path = prompts.pop("path")
    if config.prompts.system == "keep":
        prompts.pop("system")  # as it was before there was a choice
    if config.prompts.source in ("jsonl", "parquet", "hub"):
        found = reading.digests(config.prompts)
        prompts |= {"path": path} if found is None else {"files": found}
    if config.prompts.max_tokens is not None:
        from croco.engines import factory
        from croco.models.slices import tokenizer_slice

        prompts |= tokenizer_slice(factory.policy(config.model))
    return {"prompts": prompts}


def run(job: Job) -> dict[str, Any]:
    """Fill `prompts` with one language's, their splits by `prompt_id`; what is left out is counted by reason."""
    config, language = job.config, str(job.language)
    dropped: Counter[str] = Counter()
    if "translations" in job.inputs:
        return _translated(job)
    own = {"tiny": _tiny, "checks": _checks}.get(config.prompts.source)
    drawn = own(config.prompts, language) if own else _read(config, dropped)
    prompts = [p for p in drawn if p.language == language]
    if drawn and not prompts:
        there = ", ".join(sorted({p.language for p in drawn}))
        raise UserError(f"{config.prompts.path}: no prompt in '{language}', only in {there}")
    system = sum(any(m["role"] == "system" for m in p.messages) for p in prompts)
    prompts = [replace(p, messages=parsing.without_system(p.messages, config.prompts.system)) for p in prompts]
    done = {"keep": "kept", "merge": "merged", "drop": "dropped"}[config.prompts.system]
    told = _written(job, prompts, dropped, [f"{system:,} with a system message, {done}"] if system else [])
    others = {p.prompt_id for p in drawn if p.language != language}
    if others:
        told["shared"] = sum(p.prompt_id in others for p in prompts)
        if not told["shared"]:
            told["notes"] += ["no id is another language's: none is a translation, and the languages share the counts"]
    return told


def _translated(job: Job) -> dict[str, Any]:
    """The prompts of a language that the source need not have: those of its translations that can be used."""
    translation, language = job.config.translation, str(job.language)
    requests = job.single("translation_requests")
    source = requests.rows("source", Prompt)
    texts = {row.prompt_id: row for row in job.single("translations").rows("generations", Generation)}
    job.engines.close()  # a policy of the translator's size would not fit beside it
    dropped = Counter(requests.summary["dropped"])
    prompts = list(translation_of.assembled(translation, language, source, texts, dropped))
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    job.progress.say(f"{job.label}: {len(prompts):,} translated" + (f"; dropped: {counts}" if counts else ""))
    return _written(job, prompts, dropped)


def of_language(config: Config, language: str) -> dict[str, Any]:
    """What only a language that is translated into depends on."""
    if language not in config.translation.targets(config.lang.languages):
        return {}
    return {"check_translations": config.translation.check_language}


def _written(job: Job, prompts: list[Prompt], dropped: Counter[str], notes: Sequence[str] = ()) -> dict[str, Any]:
    config, language = job.config, str(job.language)
    if config.prompts.max_tokens is not None:
        prompts = _short(config, prompts, config.prompts.max_tokens, dropped)
    splits = Counter(p.split for p in prompts)
    if splits["train"] == 0:
        why = f" (dropped: {', '.join(f'{n} {reason}' for reason, n in sorted(dropped.items()))})" if dropped else ""
        raise UserError(f"prompts.source={config.prompts.source}: no prompt to train on in '{language}'{why}")
    prompts.sort(key=lambda p: (p.split, p.prompt_id))
    job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, prompts))
    return {
        "rows": len(prompts),
        **splits,
        "dropped": dict(dropped),
        "references": sum(bool(p.reference and p.reference.strip()) for p in prompts if p.split == "train"),
        "notes": [*_fewer(config.prompts, splits), *notes],
        "roles": templates.roles(prompts),
    }


def _fewer(asked: PromptsConfig, splits: Counter[str]) -> Iterator[str]:
    """What there was where there was less than was asked for."""
    for split, wanted, words in (("train", asked.train, "to train on"), ("heldout", asked.heldout, "held out")):
        if splits[split] < wanted:
            yield f"{splits[split]:,} {words}, prompts.{split} asks for {wanted:,}"


def _read(config: Config, dropped: Counter[str]) -> list[Prompt]:
    """Of all languages; rows that name none are in the run's only one, where nothing is translated."""
    wanted = config.lang.languages
    translated = config.translation.targets(wanted)
    asked = [*wanted, config.translation.source] if translated else wanted
    only = asked[0] if len(asked) == 1 else None
    rows = parsing.parse(config.prompts, reading.read(config.prompts, asked), dropped, only)
    return sampling.draw(config.prompts, rows, parsing.fits(config.prompts, dropped))


def _tiny(config: PromptsConfig, language: str) -> list[Prompt]:
    from croco.tiny import world

    if language not in world.LANGUAGES:
        raise UserError(f"lang.languages: the embedded world has no '{language}', only {', '.join(world.LANGUAGES)}")
    wanted = [("open", "train", config.train), ("open", "heldout", config.heldout)]
    if config.name == EVERY_TASK:
        wanted.append(("structured", "heldout", config.heldout))
    drawn: list[tuple[str, dict[str, Any]]] = []
    for kind, split, count in wanted:
        try:
            drawn += [(split, prompt) for prompt in world.prompts(kind, split, count, config.seed)]
        except ValueError as error:
            raise UserError(f"prompts.{split}: {error}") from None
    return [
        Prompt(
            prompt_id=p["prompt_id"],
            language=language,
            messages=[{"role": "user", "content": p["text"][language]}],
            split=split,
            reference=p["reference"][language],
            meta=json.dumps({key: p[key] for key in ("task", "args", "variant")}, ensure_ascii=False),
        )
        for split, p in drawn
    ]


def _checks(config: PromptsConfig, language: str) -> list[Prompt]:
    """Our own prompts with checkable instructions, on the topics that `evals.checks.topics=heldout` leaves out."""
    from croco.evals.checks import prompts

    drawn = list(prompts.own(language, config.train + config.heldout, config.seed, "train"))
    return [replace(p, split="train" if i < config.train else "heldout") for i, p in enumerate(drawn)]


def _short(config: Config, prompts: list[Prompt], limit: int, dropped: Counter[str]) -> list[Prompt]:
    from croco.engines import factory
    from croco.language import text
    from croco.models.checkpoints import tokenizer_of

    tokenizer = tokenizer_of(factory.policy(config.model))
    kept = [p for p in prompts if len(text.prompt_ids(tokenizer, p.messages)) <= limit]
    dropped["too long"] += len(prompts) - len(kept)
    return kept


def accept(config: Config, summary: dict[str, Any]) -> None:
    """Before an answer is generated: what is compared at the end needs held-out prompts in every language, and training on the
    data set's own answers needs those; every template must be able to read what is asked."""
    templates.check(config, summary.get("roles", {}))
    if len(config.lang.languages) > 1 and config.pairing.scope != "mono" and summary.get("shared") == 0:
        raise UserError(
            f"pairing.scope={config.pairing.scope}: {config.prompts.path}: no prompt's id is also another language's, so "
            "that no pool has two; give translations of one prompt one `id`, or choose pairing=mono"
        )
    if config.evals.quality is not None and summary.get("heldout", 0) == 0:
        raise UserError(
            f"prompts.heldout: no prompt is held out in a language that has {summary['rows']} (at most "
            f"{sampling.MOST_HELDOUT:.0%} of all are); give more prompts, or evals=none"
        )
    key = "source.shares" if "reference" in (config.source.shares or {}) else "method.trains_on"
    reads = config.method.trains_on == "reference" or key == "source.shares"
    if reads and summary.get("references") == 0:
        raise UserError(
            f"{key}: the data set's own answers are wanted, and no prompt to train on has one (a `reference` column, or a last "
            "assistant turn); choose method=max_r or method=dpo with source=on_policy, or data with answers"
        )


STAGE = Stage(
    name="prompts",
    needs=("translation_requests", "translations"),
    config=slice_of,
    of_language=of_language,
    words=lambda config: (config.prompts.source,),
    run=run,
    version=3,
    per_language=True,
    accept=accept,
)
