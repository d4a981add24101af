"""Translations: the source language's prompts, what the translator is asked per language, and what it answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.config import Config, SamplingConfig, TranslationConfig, references
from croco.config.languages import spoken_of
from croco.errors import UserError
from croco.models.checkpoints import Checkpoint, context_of, tokenizer_of
from croco.models.slices import tokenizer_slice
from croco.prompts import translation as translating
from croco.stages import templates
from croco.stages.answers import fill, seal, slice_of
from croco.stages.base import Job, Stage

SOURCE = "source_prompts"
REQUESTS = "translation_requests"
NAME = "translations"


def checkpoint(translation: TranslationConfig) -> Checkpoint:
    """The translator."""
    return Checkpoint(
        path=str(translation.model),
        revision=translation.revision,
        dtype=translation.dtype,
        trust_remote_code=translation.trust_remote_code,
        chat_template=translation.chat_template,
    )


def sampling(translation: TranslationConfig) -> SamplingConfig:
    """One greedy translation."""
    return SamplingConfig(samples=1, temperature=0.0, top_p=1.0, max_new_tokens=translation.max_new_tokens, seed=0)


def longest(translation: TranslationConfig) -> int:
    """Tokens of a request and its translation, at most."""
    return min(context_of(checkpoint(translation)), translation.max_input_tokens + translation.max_new_tokens)


def targets(config: Config) -> list[str]:
    """The languages that are translated into."""
    return config.translation.targets(config.lang.languages)


def _wanted(config: Config) -> bool:
    return bool(targets(config))


def requests_slice(config: Config) -> dict[str, Any]:
    """Lengths are counted in the translator's tokens."""
    translation = config.translation
    return {
        "format": translation.format,
        "template": translation.template if translation.format == "text" else None,
        "references": references.translated(config),
        "max_input_tokens": translation.max_input_tokens,
        **tokenizer_slice(checkpoint(translation)),
    }


def requests_of_language(config: Config, language: str) -> dict[str, Any]:
    """How the two languages are called, as far as the translator sees it."""
    both = {"from": spoken_of(config.translation.source), "to": spoken_of(language)}
    if config.translation.needs_codes:
        return {name: [spoken.english_name, spoken.translategemma] for name, spoken in both.items()}
    return {name: [spoken.english_name] for name, spoken in both.items()}


def ask(job: Job) -> dict[str, Any]:
    """Fill `prompts` with a row per text to translate, and `source` with the prompts that they make up."""
    wanted = references.translated(job.config)
    translation = replace(job.config.translation, references=bool(wanted))
    language = str(job.language)
    model = checkpoint(translation)
    tokenizer = tokenizer_of(model)
    most = min(translation.max_input_tokens, context_of(model) - 1)
    source = job.single(f"{SOURCE}@{translation.source}").rows("prompts", Prompt)
    if wanted == references.HELDOUT:
        source = [p if p.split == references.HELDOUT else replace(p, reference=None) for p in source]
    dropped: Counter[str] = Counter()
    kept = list(translating.within(translation, language, source, tokenizer, most, dropped))
    if not kept:
        raise UserError(
            f"translation.max_input_tokens: none of {len(source)} prompts has at most {most} tokens in '{language}'"
        )
    job.output.write_table("source", records.schema(Prompt), (records.as_dict(prompt) for prompt, _ in kept))
    rows = map(records.as_dict, chain.from_iterable(asked for _, asked in kept))
    count = job.output.write_table("prompts", records.schema(Prompt), rows)
    return {"rows": count, "prompts": len(kept), "dropped": dict(+dropped)}


def stages(prompts: Stage) -> tuple[Stage, Stage, Stage]:
    """The prompts in the source language, and for each other language what is asked and what is answered."""

    def translate(job: Job) -> None:
        translation = job.config.translation
        model, greedy = checkpoint(translation), sampling(translation)
        engine = job.config.engine.of("translator").reading(longest(translation))
        fill(job, model, translating.SPLIT, greedy, REQUESTS, translating.token_ids, engine)

    source = replace(
        prompts,
        name=SOURCE,
        folder=prompts.folder or prompts.name,
        needs=(),
        wanted=_wanted,
        languages=lambda c: [c.translation.source],
        accept=lambda config, summary: templates.check(config, summary.get("roles", {})),
    )
    requests = Stage(
        name=REQUESTS,
        needs=(),
        also=lambda c: (f"{SOURCE}@{c.translation.source}",),
        config=requests_slice,
        of_language=requests_of_language,
        run=ask,
        version=1,
        per_language=True,
        languages=targets,
        wanted=_wanted,
    )
    translations = Stage(
        name=NAME,
        needs=(REQUESTS,),
        config=lambda c: slice_of(
            c, checkpoint(c.translation), translating.SPLIT, sampling(c.translation), "translator"
        ),
        fill=translate,
        run=lambda job: seal(job, translating.SPLIT, sampling(job.config.translation), REQUESTS),
        version=1,
        per_language=True,
        languages=targets,
        wanted=_wanted,
    )
    return source, requests, translations
