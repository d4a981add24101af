"""The arena and its judge: their groups, and the checks of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from croco.config import functions
from croco.config.languages import settings
from croco.config.targets import one_of, require

JUDGE_ARGUMENTS = ("messages", "first", "second", "language", "meta")
"""What a judging function is called with."""


@dataclass
class SystemConfig:
    """One side of the arena."""

    name: str
    """What tables call it."""
    path: str | None
    """A checkpoint; null is the run's policy."""
    revision: str | None
    chat_template: str | None
    """A Jinja file for a checkpoint that has no chat template."""
    adapter: str | None
    """A PEFT folder to put on top; `trained` is what this run trains; null is none."""
    answers: str | None
    """A folder of answers that are there already, `da.json` per language in the reference repository's layout (a list of
    question_id, output); null generates."""


@dataclass
class ArenaConfig:
    """Two systems answer the same questions, and `judge` says which answer is better."""

    source: str
    """Where questions come from: `heldout` (the run's held-out prompts), `hub` or `file`."""
    path: str | None
    """A hub data set, or a .jsonl or .parquet file or a folder of them, with m-ArenaHard's columns."""
    revision: str | None
    limit: int | None
    """At most so many questions, the same ones in every language; null asks all."""
    candidate: SystemConfig
    opponent: SystemConfig
    temperature: float
    """Of both systems' answers; 0 takes the likeliest token."""
    top_p: float
    max_new_tokens: int
    orders: str
    """`both` shows every pair twice, in either order; `random` once, in an order drawn from seed, language and question."""
    seed: int
    """Of the answers, of the order, and of which questions `limit` keeps."""
    resamples: int
    """Bootstrap resamples of questions."""
    confidence: float


@dataclass
class JudgeConfig:
    """What judges the arena."""

    kind: str
    """`model` (a checkpoint, through `engine`), `endpoint` (an OpenAI-compatible server) or `function` (Python)."""
    path: str | None
    """The checkpoint, or the model's name at the endpoint."""
    revision: str | None
    dtype: str
    attention: str
    chat_template: str | None
    template_options: dict[str, Any]
    """What the judge's chat template takes, e.g. `enable_thinking: false`."""
    trust_remote_code: bool
    engine_options: dict[str, Any]
    """Keyword arguments for the judge's engine, over `engine.options`."""
    answer: str
    """`marks` (reasons, then `[[1]]`, `[[2]]` or `[[T]]`) or `json` (an object of `reasons` and `verdict`), to which a judge
    is held by vLLM, and by an endpoint that takes `response_format`."""
    temperature: float
    top_p: float
    max_new_tokens: int
    max_prompt: int
    """Longest message to the judge: in its tokens, or in characters at an endpoint. Longer texts are shortened, and counted."""
    max_unreadable: float
    """Largest share of a language's verdicts that may have none that can be read."""
    seed: int
    url: str | None
    """Of the endpoint, up to `/v1`."""
    api_key_env: str | None
    """Name of the environment variable that holds the endpoint's key; null sends none."""
    retries: int
    """Further attempts at a request that failed in passing."""
    timeout: float
    """Seconds for one attempt at an endpoint, or for one call of a function."""
    parallel: int
    """Requests under way at once."""
    function: str | None
    """`module:name` of f(messages, first, second, language, meta) -> text with [[1]], [[2]] or [[T]]."""


def check_arena(arena: ArenaConfig, languages: Sequence[str]) -> None:
    """Checks of one evaluation; raises UserError with the key to change."""
    one_of("evals.arena.source", arena.source, ("heldout", "hub", "file"))
    one_of("evals.arena.orders", arena.orders, ("both", "random"))
    require(
        arena.source == "heldout" or arena.path is not None,
        f"evals.arena.path: name the questions, evals.arena.source={arena.source} needs them",
    )
    for language in languages if arena.source == "hub" else []:
        require(
            settings(language).m_arenahard is not None,
            f"lang.languages: m-ArenaHard has no '{language}' (m_arenahard in conf/language/{language}.yaml); give your own "
            "questions with evals.arena.source=file, or leave the language out",
        )
    for role in ("candidate", "opponent"):
        system = getattr(arena, role)
        require(
            system.adapter != "trained" or system.path is None,
            f"evals.arena.{role}.adapter: what this run trains belongs on its policy, not on {system.path}; set it to null",
        )
        require(
            system.answers is None or (system.path is None and system.adapter is None),
            f"evals.arena.{role}.answers: a system whose answers are there has no model; set its path and adapter to null",
        )
    same = dataclasses.replace(arena.candidate, name=arena.opponent.name) == arena.opponent
    require(not same, "evals.arena.opponent: is the same system as evals.arena.candidate")
    require(
        arena.candidate.name != arena.opponent.name,
        "evals.arena.opponent.name: both systems have one name; give another",
    )
    require(arena.limit is None or arena.limit >= 1, "evals.arena.limit: must be at least 1, or null")
    require(arena.temperature >= 0, "evals.arena.temperature: must be at least 0")
    require(0 < arena.top_p <= 1, "evals.arena.top_p: must lie in (0, 1]")
    require(arena.max_new_tokens >= 1, "evals.arena.max_new_tokens: must be at least 1")
    require(arena.resamples >= 1, "evals.arena.resamples: must be at least 1")
    require(0 < arena.confidence < 1, "evals.arena.confidence: must lie in (0, 1), e.g. 0.95")


def check_judge(judge: JudgeConfig, on_tiny: bool) -> None:
    """Checks of one group, which matters where something is judged; raises UserError with the key to change.

    Args:
        on_tiny: whether the questions are the embedded world's.
    """
    one_of("judge.kind", judge.kind, ("model", "endpoint", "function"))
    one_of("judge.dtype", judge.dtype, ("float32", "bfloat16"))
    one_of("judge.answer", judge.answer, ("marks", "json"))
    require(judge.kind != "function" or judge.answer == "marks", "judge.answer: a function answers with marks")
    needed = {"model": ("path",), "endpoint": ("path", "url"), "function": ("function",)}[judge.kind]
    for name in needed:
        require(getattr(judge, name) is not None, f"judge.{name}: judge.kind={judge.kind} needs it")
    require(
        judge.kind != "function" or not str(judge.function).startswith("croco.tiny.") or on_tiny,
        f"judge.function: {judge.function} knows the embedded world's held-out prompts only; choose judge=paper, "
        "judge=endpoint, or a function of your own",
    )
    if judge.kind == "function":
        functions.usable("judge.function", str(judge.function), JUDGE_ARGUMENTS)
    require(
        judge.url is None or judge.url.startswith(("http://", "https://")),
        f"judge.url: '{judge.url}' does not begin with http:// or https://",
    )
    require(judge.temperature >= 0, "judge.temperature: must be at least 0")
    require(0 < judge.top_p <= 1, "judge.top_p: must lie in (0, 1]")
    require(0 <= judge.max_unreadable <= 1, "judge.max_unreadable: must lie in [0, 1]")
    require(judge.timeout > 0, "judge.timeout: must be positive")
    for name, least in (("max_new_tokens", 1), ("max_prompt", 1), ("retries", 0), ("parallel", 1)):
        require(getattr(judge, name) >= least, f"judge.{name}: must be at least {least}")
