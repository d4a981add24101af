"""Judges: a language model through an engine, a model behind an endpoint, or a Python function."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from croco.artifacts.records import Message, Prompt
from croco.artifacts.store import canonical
from croco.config import EngineConfig, JudgeConfig, SamplingConfig, functions
from croco.config.arena import JUDGE_ARGUMENTS
from croco.engines import factory
from croco.engines.base import Generator, Request, seed_of
from croco.engines.endpoint import Chat, ChatEndpoint
from croco.errors import UserError
from croco.evals.arena import judging
from croco.language import disarm, marks, text
from croco.models.checkpoints import Checkpoint, context_of, tokenizer_of
from croco.show.visible import whole

RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": judging.SCHEMA},
}
"""The field by which OpenAI's servers, vLLM's and others hold a model to a JSON schema."""


@dataclass(frozen=True)
class Game:
    """One question with two answers in the order in which they are shown."""

    prompt: Prompt
    order: str
    first: str
    second: str
    seed: int


@dataclass(frozen=True)
class Judgement:
    game: Game
    text: str
    finish_reason: str
    truncated: bool


class Judge(Protocol):
    def judge(self, games: Sequence[Game]) -> Iterator[Judgement]:
        """All games, in any order, each as soon as it is judged."""

    def close(self) -> None:
        """Give back what the judge holds."""


def games(prompt: Prompt, candidate: str, opponent: str, orders: str, order_seed: int, seed: int) -> list[Game]:
    """The games on one question: `both` orders, or one at `random`, drawn from its seed, language and question alone."""
    drawn = judging.ORDERS[seed_of(order_seed, prompt.prompt_id, prompt.language) % 2]
    chosen = judging.ORDERS if orders == "both" else (drawn,)
    found = []
    for order in chosen:
        pair = (candidate, opponent) if order == judging.CANDIDATE_FIRST else (opponent, candidate)
        found.append(Game(prompt, order, *pair, seed_of(seed, f"{prompt.prompt_id}/{order}", prompt.language)))
    return found


class ModelJudge:
    """A causal language model that is asked in one user message."""

    def __init__(self, generator: Generator, tokenizer: Any, max_prompt: int, answer: str = judging.MARKS) -> None:
        self.generator, self.tokenizer, self.max_prompt, self.answer = generator, tokenizer, max_prompt, answer

    def judge(self, games: Sequence[Game]) -> Iterator[Judgement]:
        asked: dict[tuple[str, str], tuple[Game, bool]] = {}
        requests = []
        for game in games:
            shown = _shown(game, self.max_prompt, lambda text: len(self._ids(text)), self.answer)
            name = f"{game.prompt.prompt_id}/{game.order}"
            asked[name, game.prompt.language] = game, shown.truncated
            requests.append(Request(name, game.prompt.language, self._ids(shown.text), range(1), game.seed))
        for done in self.generator.generate(requests):
            game, truncated = asked[done.request.prompt_id, done.request.language]
            yield Judgement(game, text.decode(self.tokenizer, done.token_ids), done.finish_reason, truncated)

    def _ids(self, message: str) -> list[int]:
        return text.prompt_ids(self.tokenizer, _asked(message))

    def close(self) -> None:
        self.generator.close()


class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint, whose tokenizer is not known: lengths are characters.

    The server's template, which is not ours to see, puts the message into its frame, and what spells a control token there is
    one. So nothing is sent that spells a token of the known families (`disarm.control`), nor one of the judge's own where
    its tokenizer is on this machine (`marks_at_hand`).
    """

    def __init__(
        self,
        endpoint: ChatEndpoint,
        max_prompt: int,
        answer: str = judging.MARKS,
        marks: Collection[str] = (),
    ) -> None:
        self.endpoint, self.max_prompt, self.answer, self.marks = endpoint, max_prompt, answer, marks

    def judge(self, games: Sequence[Game]) -> Iterator[Judgement]:
        shown = [_shown(disarmed(game, self.marks), self.max_prompt, len, self.answer) for game in games]
        chats = [Chat(_asked(s.text), game.seed % 2**31) for game, s in zip(games, shown, strict=True)]
        for number, reply in self.endpoint.complete(chats):
            yield Judgement(games[number], reply.text, reply.finish_reason, shown[number].truncated)

    def close(self) -> None:
        pass


class FunctionJudge:
    """Calls f(messages, first, second, language, meta), which returns text with a verdict in it, as a model would."""

    def __init__(self, function: Callable[..., str], seconds: float | None = None) -> None:
        self.function, self.seconds = function, seconds

    def judge(self, games: Sequence[Game]) -> Iterator[Judgement]:
        """See `Judge`.

        Raises:
            UserError: a call raises, takes too long, or gives back no text; it names question and language.
        """
        for game in games:
            prompt = game.prompt
            messages = [dict(message) for message in prompt.messages]  # its own, to change as it likes
            try:
                with functions.within(self.seconds):
                    said = self.function(messages, game.first, game.second, prompt.language, json.loads(prompt.meta))
                if not isinstance(said, str):
                    raise TypeError(f"gave back {type(said).__name__}, not a text with [[1]], [[2]] or [[T]]")
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the user's own, of any kind
                raise UserError(
                    f"judge.function: cannot judge question {prompt.prompt_id} ({prompt.language}; "
                    f"{functions.reason(error)}); choose a judge that knows these questions"
                ) from error
            yield Judgement(game, whole(said), "stop", False)

    def close(self) -> None:
        pass


def _shown(game: Game, limit: int, size: Callable[[str], int], answer: str) -> judging.Shown:
    asked = judging.instruction_of(game.prompt.messages)
    return judging.shown(asked, game.first, game.second, limit, size, game.seed, answer)


def disarmed(game: Game, more: Collection[str]) -> Game:
    """The game as an endpoint is sent it; equal to the game where no text of it spells a control token."""
    messages = [{**m, "content": disarm.control(m["content"], more)} for m in game.prompt.messages]
    first, second = (disarm.control(text, more) for text in (game.first, game.second))
    return replace(game, prompt=replace(game.prompt, messages=messages), first=first, second=second)


def marks_at_hand(judge: JudgeConfig) -> frozenset[str]:
    """The marks of an endpoint's model, where its name is a checkpoint whose tokenizer is on this machine; else none."""
    return _marks_at_hand(str(judge.path), judge.revision)


@functools.cache
def _marks_at_hand(path: str, revision: str | None) -> frozenset[str]:
    from transformers import AutoTokenizer

    try:
        return marks.of(AutoTokenizer.from_pretrained(path, revision=revision, local_files_only=True))
    except Exception:  # what a server calls its model may be anything
        return frozenset()


def _asked(message: str) -> list[Message]:
    return [{"role": "user", "content": message}]


def checkpoint(judge: JudgeConfig) -> Checkpoint:
    """The model that judges."""
    return Checkpoint(
        str(judge.path),
        judge.revision,
        judge.dtype,
        judge.attention,
        judge.trust_remote_code,
        judge.chat_template,
        template_options=canonical(judge.template_options),
    )


def with_options(engine: EngineConfig, judge: JudgeConfig) -> EngineConfig:
    """The run's engine as it is built for the judge; the judge's own options win."""
    own = engine.of("judge")
    return replace(own, options={**own.options, **judge.engine_options})


def build(judge: JudgeConfig, engine: EngineConfig) -> Judge:
    """The judge a configuration describes.

    Raises:
        UserError: its model cannot be loaded, or its function not found.
    """
    if judge.kind == "function":
        return FunctionJudge(functions.usable("judge.function", str(judge.function), JUDGE_ARGUMENTS), judge.timeout)
    if judge.kind == "endpoint":
        settings: dict[str, Any] = {
            "temperature": judge.temperature,
            "top_p": judge.top_p,
            "max_tokens": judge.max_new_tokens,
        }
        if judge.template_options:
            settings["chat_template_kwargs"] = dict(judge.template_options)
        endpoint = ChatEndpoint(
            str(judge.url),
            str(judge.path),
            settings,
            judge.api_key_env,
            judge.retries,
            judge.timeout,
            judge.parallel,
            response_format=RESPONSE_FORMAT if judge.answer == judging.JSON else None,
        )
        return EndpointJudge(endpoint, judge.max_prompt, judge.answer, marks_at_hand(judge))
    model = checkpoint(judge)
    tokenizer = tokenizer_of(model)
    sampling = SamplingConfig(1, judge.temperature, judge.top_p, judge.max_new_tokens, judge.seed)
    longest = min(context_of(model), judge.max_prompt + judge.max_new_tokens)
    form = judging.FORM if judge.answer == judging.JSON else None
    generator = factory.generator(with_options(engine, judge).reading(longest), model, tokenizer, sampling, form=form)
    return ModelJudge(generator, tokenizer, judge.max_prompt, judge.answer)
