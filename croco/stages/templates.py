"""The chat templates of a run, asked before any work: whether each can read the prompts, and whether it frames them as it should.

A reward model or a judge reads the prompts hours after the policy, through a template of its own; what it would refuse then is
refused when the prompts are made.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from croco.artifacts.records import Prompt
from croco.config import Config
from croco.config.scorers import EnsembleOptions, options_of
from croco.config.worlds import rewards as rewards_of
from croco.engines import factory
from croco.errors import UserError
from croco.evals.arena import judges
from croco.language import frame, text
from croco.models.checkpoints import Checkpoint, tokenizer_of
from croco.rewards import factory as rewards

PROMPT, FINISHED, OWN = "prompt", "finished", "own"
"""What a reader is given: the prompt up to its answer, the conversation with its answer, or a message of ours."""
QUESTION: tuple[str, ...] = ("user",)


def roles(prompts: Sequence[Prompt]) -> dict[str, dict[str, Any]]:
    """By the roles of its turns: how many prompts, and the first of them."""
    found: dict[str, dict[str, Any]] = {}
    for p in prompts:
        turns = " ".join(m["role"] for m in p.messages)
        one = found.setdefault(turns, {"prompts": 0, "first": p.prompt_id, "language": p.language})
        one["prompts"] += 1
    return found


def check(config: Config, found: dict[str, dict[str, Any]]) -> None:
    """Whether every template of the run can read these roles.

    Raises:
        UserError: one cannot, or leaves a turn out; names the prompt, the template's checkpoint and what to do.
    """
    for key, checkpoint, given in readers(config):
        for turns, first in ({} if given == OWN else found).items():
            said = _refusal(checkpoint, given == FINISHED, tuple(turns.split()))
            if said is not None:
                place = f"{config.prompts.path or f'prompts={config.prompts.source}'}: prompt {first['first']}"
                raise UserError(f"{place} ({first['language']}), {key}={said}; {_advice(turns)}")
        if given == OWN and (said := _refusal(checkpoint, False, QUESTION)) is not None:
            raise UserError(f"{key}={said}")


def _advice(turns: str) -> str:
    if "system" in turns.split():
        return "prompts.system=merge puts the system text before the user's, prompts.system=drop leaves it out"
    if "user user" in turns:
        return "prompts.turns=first asks the first turn alone; or join the two turns, or leave such rows out"
    return "give a template that can (chat_template=FILE.jinja), or leave such rows out"


def readers(config: Config) -> Iterator[tuple[str, Checkpoint, str]]:
    """(the key that names it, what reads, what it is given) of every checkpoint with a chat template."""
    yield "model.path", factory.policy(config.model), PROMPT
    if config.source.kind == "off_policy" or "off_policy" in (config.source.shares or {}):
        yield "source.model", factory.other(config), PROMPT
    if config.engine.name != "fake":
        for key, part in rewards_of(config):
            yield from _of_reward(key, part)
    if config.evals.arena is not None and config.judge.kind == "model":
        yield "judge.path", judges.checkpoint(config.judge), OWN


def _of_reward(key: str, part: Any) -> Iterator[tuple[str, Checkpoint, str]]:
    options = options_of(part, key)
    if part.kind == "sequence_classification":
        yield f"{key}.path", rewards.checkpoint(part), FINISHED
    elif part.kind == "trained":
        base = replace(rewards.checkpoint(part), path=str(part.base), chat_template=part.training.chat_template)
        yield f"{key}.base", base, FINISHED
    elif isinstance(options, EnsembleOptions):
        for path in options.models:
            yield f"{key}.options.models", replace(rewards.checkpoint(part), path=path), FINISHED
    elif part.kind in ("implicit", "judge"):
        yield f"{key}.path", rewards.checkpoint(part), PROMPT if part.kind == "implicit" else OWN


@functools.lru_cache(maxsize=8)
def _tokenizer(checkpoint: Checkpoint) -> Any:
    return tokenizer_of(checkpoint)


@functools.lru_cache(maxsize=256)
def _refusal(checkpoint: Checkpoint, finished: bool, turns: tuple[str, ...]) -> str | None:
    """Why a template cannot read a conversation of these roles; None where it can."""
    tokenizer = _tokenizer(checkpoint)
    messages: list[Any] = [{"role": role, "content": f"croco{number}"} for number, role in enumerate(turns)]
    answer = [{"role": "assistant", "content": "crocoanswer"}] if finished else []
    try:
        frame.in_pieces(tokenizer, [*messages, *answer], not finished)
        if not finished:
            frame.end(tokenizer)
    except UserError as error:
        return str(error)
    return None


def warnings(config: Config) -> list[str]:
    """What is odd about how the templates of policy and rewards frame a conversation."""
    found = [
        f"{key}: {fault}"
        for key, checkpoint, given in readers(config)
        if given != OWN
        for fault in faults(_tokenizer(checkpoint), finished=given == FINISHED)
    ]
    return list(dict.fromkeys(found))


def thinks(config: Config) -> bool:
    """Whether the policy's template knows thoughts."""
    return bool(frame.of(_tokenizer(factory.policy(config.model))).thought)


def thinking(config: Config) -> str:
    """Whether the policy is asked to think, in words."""
    return frame.thinking(_tokenizer(factory.policy(config.model)))


def faults(tokenizer: Any, finished: bool = False) -> list[str]:
    """Text before BOS, BOS more than once, a prompt that does not begin its finished conversation.

    A BOS that stands before every turn (SmolLM2's is `<|im_start|>`) is that template's mark of a turn.
    """
    name, bos, found = tokenizer.name_or_path, tokenizer.bos_token_id, []
    user: list[Any] = [{"role": "user", "content": "a"}]
    one = text.prompt_ids(tokenizer, user)
    if bos is not None and bos in one:
        longer = text.prompt_ids(tokenizer, [*user, {"role": "assistant", "content": "b"}, *user])
        if one[0] != bos:
            before = tokenizer.decode(one[: one.index(bos)], skip_special_tokens=False)
            found.append(f"{name}: its chat template writes {before!r} before BOS")
        if one[:2] == [bos, bos] or 1 < one.count(bos) == longer.count(bos):
            found.append(f"{name}: its chat template writes BOS {one.count(bos)} times")
    if not finished and not frame.of(tokenizer).prefix:
        found.append(
            f"{name}: its chat template's prompt does not begin the finished conversation; answers are trained behind the prompt"
        )
    return found
