"""The protocols every engine fulfils, and the seeds that make its rows independent of how the work was cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from croco.errors import UserError

Message = dict[str, str]


@dataclass(frozen=True)
class Request:
    """Samples wanted for one prompt in one language."""

    prompt_id: str
    language: str
    token_ids: list[int]
    """The prompt, ready for the model."""
    samples: range
    seed: int
    """Of sample 0; sample i uses `seed + i`, as vLLM numbers the samples of one request."""


@dataclass(frozen=True)
class Completion:
    """One sampled answer."""

    request: Request
    sample: int
    token_ids: list[int]
    """With the end-of-turn token where the model wrote one."""
    finish_reason: str
    """`stop` or `length`."""
    logp: float | None = None
    """Log-prob of `token_ids` under the model, before temperature and top_p, in nats; None where it was not asked for."""


Told = Callable[[int], None]


def nobody(tokens: int) -> None:
    """Nobody asks how many tokens there are of answers that are not over."""


@contextmanager
def telling(generator: Generator, told: Told) -> Iterator[None]:
    """Within it, a generator that can (it has a `told`) calls this with the number of tokens that each step has written."""
    if not hasattr(generator, "told"):
        yield
        return
    generator.told = told
    try:
        yield
    finally:
        generator.told = nobody


class Generator(Protocol):
    """Samples answers; a judge is one whose answers are read as verdicts."""

    settings: dict[str, Any]
    """What is really used, for the artifact's record: engine, version, precision, sampling parameters, stop ids. JSON values."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """All samples of all requests, in any order, each as soon as it is there; requests are taken as they are needed.

        Raises:
            UserError: a prompt does not fit the model's context; names it.
        """

    def close(self) -> None:
        """Give back what the engine holds."""


class AdapterGenerator(Generator, Protocol):
    """A generator whose base stays loaded while its adapter changes."""

    def use(self, adapter: Path | None) -> None:
        """Further requests are answered with this LoRA adapter; None takes it off."""


@dataclass(frozen=True)
class Answered:
    """What a scorer sees: a conversation with its answer, and what a rule may need."""

    messages: list[Message]
    """The prompt."""
    answer: str
    language: str
    meta: str
    """JSON, see `records.Prompt.meta`."""
    prompt_id: str = ""
    """For messages to people; no scorer reads it."""
    english: list[Message] = field(default_factory=list)
    """The same prompt in English; filled in for rewards that need it."""
    english_answers: tuple[str, ...] = ()
    """The English answers to it, likewise."""
    token_ids: tuple[int, ...] | None = None
    """The answer as it was sampled, for rewards that are log-probs of a model with the same tokenizer."""


class Scorer(Protocol):
    """Rewards answers."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """One finite reward per answer, or None where it could not be scored."""

    def close(self) -> None:
        """Give back what the engine holds."""


def scored(scorer: Scorer, parts: Iterable[list[Answered]]) -> Iterator[tuple[int, list[float | None]]]:
    """(number, rewards) of each part, in any order; parts are taken as they are needed, several at once by what can."""
    stream = getattr(scorer, "stream", None)
    yield from enumerate(map(scorer.score, parts)) if stream is None else stream(parts)


def over_long(request: Request, context: int) -> UserError:
    """The refusal of a prompt that leaves no room for an answer."""
    return UserError(
        f"prompt {request.prompt_id} ({request.language}) has {len(request.token_ids)} tokens, and the model's context "
        f"is {context}; prompts.max_tokens drops such prompts"
    )


def no_numbers(request: Request) -> UserError:
    """The refusal of logits from which no token can be drawn."""
    return UserError(
        f"prompt {request.prompt_id} ({request.language}): the model's logits behind it are no numbers (NaN or infinite); is the "
        "checkpoint whole, and its dtype wide enough for it?"
    )


def seed_of(run_seed: int, prompt_id: str, language: str) -> int:
    """Seed of a prompt's sample 0: a hash, so that it depends on nothing but its arguments. 0 <= seed < 2^62."""
    digest = hashlib.sha256(f"{run_seed}/{language}/{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
