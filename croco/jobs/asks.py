"""What the stages of a chain will ask for, asked before the first of them runs.

`ahead` goes through the stages that still have work to do and loads what is small of what they will load: tokenizers, whose
templates must show what is asked. `ASKED` says what each stage asks for. preflight.py looks at what a configuration names;
planning asks for the rest, since it stands in addresses: files, adapters, functions, EuroEval.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from croco import tracking
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.config import Config
from croco.config.scorers import JudgeOptions, options_of
from croco.config.worlds import rewards as rewards_of
from croco.engines import factory
from croco.errors import UserError
from croco.jobs import serving
from croco.jobs.chain import Chain
from croco.jobs.rates import Rates
from croco.models.checkpoints import (
    Checkpoint,
    check_reward_template,
    tokenizer_of,
)
from croco.show.progress import Progress

Ask = Callable[[Config], list[str]]
"""Returns warnings, raises UserError."""
BYTES_PER_TOKEN = Rates().journal + Rates().table  # of an answer while it is sealed
USUAL = 0.4  # of `max_new_tokens` that an answer has
PATIENCE = 2.0  # seconds for a server to take a connection


def ahead(config: Config, artifacts: Store) -> list[str]:
    """What the stages that have work to do will ask for; returns warnings.

    Raises:
        UserError: one line that says what is missing and what to choose instead.
    """
    from croco.stages import stages

    planned = Chain(config, artifacts, Progress(), tracking.silence()).plan(stages())
    asked: dict[Ask, None] = {}
    for name, made in planned.items():
        if not _sealed(made):
            asked |= dict.fromkeys(ASKED[name])
    return [warning for ask in asked for warning in ask(config)]


def _sealed(made: Artifact | Artifacts) -> bool:
    several = made.by_language.values() if isinstance(made, Artifacts) else (made,)
    return all(one.sealed for one in several)


def _room(config: Config) -> list[str]:
    """Enough of it for the answers that are asked for, as far as they can be counted."""
    folder = Path(config.paths.artifacts).absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"paths.artifacts: {folder}: nothing can be written there; make it writable, or name another")
    if not config.data.made:
        return []
    answers = config.prompts.train * config.sampling.samples * len(config.lang.languages)
    needed = int(answers * config.sampling.max_new_tokens * USUAL * BYTES_PER_TOKEN)
    free = shutil.disk_usage(folder).free
    if needed > free:
        return [
            f"paths.artifacts: {folder} has {free / 1e9:.1f} GB free, and {answers:,} answers may take {needed / 1e9:.1f} GB; "
            "what is written is kept when there is no room, and the same command goes on"
        ]
    return []


def _own_answers(config: Config) -> list[str]:
    """That files have the answers which training on the data set's own needs: before anything is made of their prompts."""
    from croco.prompts import parsing, reading

    shares = config.source.shares or {}
    if config.method.trains_on != "reference" and "reference" not in shares:
        return []
    key = "method.trains_on" if config.method.trains_on == "reference" else "source.shares"
    targets = config.translation.targets(config.lang.languages)
    missing = set(config.lang.languages) - set(targets) | ({config.translation.source} if targets else set())
    if config.prompts.source in ("jsonl", "parquet"):
        only = next(iter(missing)) if len(missing) == 1 and not targets else None
        for prompt in parsing.parse(config.prompts, reading.read(config.prompts), Counter(), only):
            if prompt.reference and prompt.reference.strip():
                missing.discard(prompt.language)
            if not missing:
                return []
    elif config.prompts.source != "checks":  # the hub's are asked when they are read, before anything is generated
        return []
    raise UserError(
        f"{key}: the data set's own answers are wanted, and no prompt in {', '.join(sorted(missing))} has one (a `reference` "
        "column, or a last assistant turn); choose method=max_r or method=dpo with source=on_policy, or data with answers"
    )


def _asks(checkpoint: Checkpoint) -> list[str]:
    """A tokenizer, and a template that opens an answer and ends it; what is odd about it."""
    from croco.language import text
    from croco.stages import templates

    tokenizer = tokenizer_of(checkpoint)
    text.end_of_turn(tokenizer)
    return templates.faults(tokenizer)


def _answers(config: Config, checkpoint: Checkpoint) -> list[str]:
    """As `_asks`; and that its engine takes it as it is set."""
    most, sampling = config.prompts.max_tokens or 0, config.sampling
    return [*_asks(checkpoint), *serving.fits(config, "policy", checkpoint, most, sampling.max_new_tokens)]


def _policy(config: Config) -> list[str]:
    return _answers(config, factory.policy(config.model))


def _candidates(config: Config) -> list[str]:
    return _policy(config) if config.source.kind == "on_policy" else _others(config)


def _others(config: Config) -> list[str]:
    return _answers(config, factory.candidates(replace(config, source=replace(config.source, kind="off_policy"))))


def _translators(config: Config) -> list[str]:
    from croco.stages.translations import checkpoint

    translation = config.translation
    model = checkpoint(translation)
    tokenizer_of(model)
    return serving.fits(config, "translator", model, translation.max_input_tokens, translation.max_new_tokens)


def _rewards(config: Config) -> list[str]:
    """Templates through which a reward sees question and answer; what is odd about them."""
    from croco.rewards.factory import checkpoint
    from croco.stages import templates

    found = []
    for _, part in rewards_of(config) if config.engine.name != "fake" else ():
        if part.kind == "sequence_classification":
            tokenizer = tokenizer_of(checkpoint(part))
            check_reward_template(checkpoint(part), tokenizer)
            found += templates.faults(tokenizer, finished=True)
            found += serving.fits(config, "reward", checkpoint(part))
        elif part.kind in ("judge", "implicit"):
            found += _asks(checkpoint(part))
        if isinstance(options := options_of(part), JudgeOptions):
            found += serving.fits(config, "reward", checkpoint(part), part.max_length, options.max_new_tokens)
    return found


def _systems(config: Config) -> list[str]:
    """The templates of the arena's sides that are no policy of this run."""
    arena = config.evals.arena
    assert arena is not None, "stages are asked whether they are wanted"
    for system in (arena.candidate, arena.opponent):
        if system.answers is None and system.path is not None:
            own = replace(factory.policy(config.model), adapter=None)
            side = replace(own, path=system.path, revision=system.revision, chat_template=system.chat_template)
            _asks(side)
            serving.fits(config, "policy", side, writes=arena.max_new_tokens)
    return []


def _judge(config: Config) -> list[str]:
    """A judging model's template; a server that takes connections, which may be started later."""
    from croco.evals.arena.judges import checkpoint

    judge = config.judge
    if judge.kind == "model":
        asks = serving.fits(config, "judge", checkpoint(judge), judge.max_prompt, judge.max_new_tokens)
        return [*_asks(checkpoint(judge)), *asks]
    if judge.kind == "endpoint" and (reason := _silent(str(judge.url))):
        return [f"judge.url: {judge.url} takes no connection now ({reason}); the arena asks it at the end"]
    return []


def _silent(url: str) -> str | None:
    """Why a server takes no connection; None where it does, or where a proxy stands between."""
    import socket
    from urllib.request import getproxies

    parts = urlsplit(url)
    try:
        if parts.scheme not in getproxies() and parts.hostname:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
            socket.create_connection((parts.hostname, port), PATIENCE).close()
    except (OSError, ValueError) as error:
        return str(error)
    return None


NOTHING: tuple[Ask, ...] = ()
SCORES = (_room, _rewards)
ASKED: Mapping[str, tuple[Ask, ...]] = {
    "data": NOTHING,  # its address asks for the files
    "preferences": (_room,),
    "reward_model": (_room,),  # its base: `preflight`
    "source_prompts": (_room, _own_answers),
    "translation_requests": (_translators,),
    "translations": (_room, _translators),
    "prompts": (_room, _own_answers),
    "reward_ranking": SCORES,
    "checks_prompts": NOTHING,
    "euroeval_data": NOTHING,  # its address asks for the installed version
    "arena_prompts": NOTHING,  # its address asks for the files
    "generations": (_room, _candidates),
    "scores": SCORES,
    "other_generations": (_room, _others),
    "other_scores": SCORES,
    "references": (_policy,),
    "reference_scores": SCORES,
    "pairs": (_policy,),
    "training": (_room, _policy),
    "answers_base": (_room, _policy),
    "answers_tuned": (_room, _policy),
    "quality": NOTHING,  # its address asks for the grader
    "checked_base": (_room, _policy),
    "checked_tuned": (_room, _policy),
    "checks": NOTHING,
    "euroeval_base": (_room, _policy),
    "euroeval_tuned": (_room, _policy),
    "euroeval": NOTHING,
    "distance": (_policy,),
    "arena_candidate": (_room, _systems),
    "arena_opponent": (_room, _systems),
    "arena_verdicts": (_room, _judge),
    "arena": NOTHING,
    "report": NOTHING,
}
"""Stage -> what it will ask for."""
