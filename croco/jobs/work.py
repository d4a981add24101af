"""The work of each stage in tokens, told from the configuration, and what it takes of a GPU by `rates`.

Not told: online rounds' loads, looks during training, reward models' training, EuroEval, distance and reward ranking.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from croco.config import Config
from croco.config.scorers import CHECKPOINTS, scoring_parts
from croco.config.targets import bind_target
from croco.evals.comparing.overoptimisation import GOLD, PROXY
from croco.jobs.rates import FASTER, READER, WRITER, Rates
from croco.models import shapes
from croco.models.shapes import Shape

UNCOUNTED = ("reward_model", "reward_ranking", "euroeval_base", "euroeval_tuned", "distance")
"""Stages that take a GPU for what a configuration does not tell."""
DECODED = ("generations", "other_generations")
SCORED = ("scores", "other_scores", "reference_scores")
HELDOUT, CHECKED = "answers", "checked"
BY_SYSTEM = re.compile(r"(?P<what>[a-z]+)_(?:base|tuned|\d+)")
"""Names of stages that do the same of base, tuned and the steps between them (croco/stages/by_step.py)."""
ARENA = ("arena_candidate", "arena_opponent")


@dataclass(frozen=True)
class Work:
    """What one model does in one artifact of a stage."""

    key: str
    """Of the configuration, that names the model."""
    path: str
    revision: str | None
    dtype: str
    role: str
    """`writes`, `reads`, `judges` or `trains`."""
    rows: float
    """Answers, rewards, translations, verdicts, or examples."""
    written: float = 0.0
    read: float = 0.0
    """Tokens, also where they are the reference's in training."""
    trained: float = 0.0
    longest: int = 0
    """Tokens of the longest sequence that may be asked for."""

    @property
    def shape(self) -> Shape:
        return shapes.of_checkpoint(self.key, self.path, self.revision)

    def seconds(self, rates: Rates, recomputes: bool = False) -> float:
        """Of one GPU."""
        shape = self.shape
        if self.role == "trains":
            flops = 4 * self.trained * (rates.recomputes if recomputes else 1.0) + 2 * self.read
            return shape.products * flops / rates.trains
        written = self.written / rates.writes / min(FASTER, WRITER / shape.active)
        return written + self.read / rates.reads / min(FASTER, READER / shape.active)


def of(stage: str, config: Config, rates: Rates) -> Iterator[Work]:
    """Each model's work in one artifact of a stage (of one language, where it has one per language); none without a GPU."""
    if _is_brought(stage, config):
        return
    prompts, sampling = config.prompts, config.sampling
    answer = min(rates.answer, sampling.max_new_tokens)
    longest = _longest(config)
    pool = prompts.train * sampling.samples
    by_system = BY_SYSTEM.fullmatch(stage)
    what = by_system["what"] if by_system else ""
    if stage in DECODED:
        others = stage != "generations" or config.source.kind == "off_policy"
        yield _writer(_other(config) if others else _policy(config), pool, answer, longest)
    elif stage in SCORED:
        rows = prompts.train if stage == "reference_scores" else pool
        yield from _rewards(config, rows, rates.prompt + answer)
    elif stage == "translations":
        made, rows = config.translation, prompts.train + prompts.heldout
        most = made.max_input_tokens + made.max_new_tokens
        translator = Work("translation.model", str(made.model), made.revision, made.dtype, "writes", 0)
        yield _writer(translator, rows, rates.prompt, most)
    elif what == HELDOUT:
        yield _writer(_policy(config), prompts.heldout, answer, longest)
    elif what in (PROXY, GOLD):
        yield from _by_step(what, config, rates.prompt + answer)
    elif what == CHECKED and config.evals.checks is not None:
        checks = config.evals.checks
        most = checks.max_new_tokens or sampling.max_new_tokens
        own = min(rates.answer, most)
        yield _writer(_policy(config), checks.prompts * checks.samples, own, longest)
    elif stage in (*ARENA, "arena_verdicts") and config.evals.arena is not None:
        yield from _arena(stage, config, rates)
    elif stage == "training" and config.method.trains_on != "nothing":
        yield _training(config, rates, answer)


def takes_device(stage: str, config: Config) -> bool:
    """Whether a stage runs a model, or may: what a scoring function of the user's own asks for is not known."""
    may = stage in UNCOUNTED or (stage in SCORED and not _is_brought(stage, config))
    return may or any(True for _ in of(stage, config, Rates()))


def _is_brought(stage: str, config: Config) -> bool:
    """Whether a stage only reads what the run is given (croco/config/data.py)."""
    kind = config.data.kind
    return (stage == "generations" and kind != "generated") or (
        stage == "scores" and kind not in ("generated", "answers")
    )


def gpu_hours(stage: str, config: Config, rates: Rates | None = None) -> float:
    """Of one artifact; 0 where no GPU is needed, and of what is not told."""
    rates = rates or Rates()
    return sum(work.seconds(rates) for work in of(stage, config, rates)) / 3600


def _policy(config: Config) -> Work:
    model = config.model
    return Work("model.path", model.path, model.revision, model.dtype, "writes", 0)


def _other(config: Config) -> Work:
    source = config.source
    return Work("source.model", str(source.model), source.revision, config.model.dtype, "writes", 0)


def _writer(model: Work, rows: float, tokens: float, longest: int) -> Work:
    return replace(model, rows=rows, written=rows * tokens, longest=longest)


def _longest(config: Config) -> int:
    """Prompt and answer; of prompts that no limit is set for, what training sees."""
    return (config.prompts.max_tokens or config.model.max_length) + config.sampling.max_new_tokens


def _rewards(config: Config, rows: float, tokens: float) -> Iterator[Work]:
    for part in scoring_parts(config.reward):
        path = str(part.base if part.kind == "trained" else part.path)
        if part.kind == "judge":
            yield replace(
                Work("reward.path", path, part.revision, part.dtype, "judges", rows),
                read=rows * tokens,
                written=rows * 10,
                longest=part.max_length,
            )
        elif part.kind in (*CHECKPOINTS, "trained"):
            key = "reward.base" if part.kind == "trained" else "reward.path"
            many = rows * (part.members if part.kind == "trained" else 1)
            yield Work(key, path, part.revision, part.dtype, "reads", many, read=many * tokens, longest=part.max_length)


def _by_step(metric: str, config: Config, tokens: float) -> Iterator[Work]:
    """Rewards of one system's held-out answers: the run's own, or the second one."""
    from croco.stages import proxies

    view, key = (proxies.gold, "evals.gold.reward") if metric == GOLD else (proxies.proxy, "reward")
    for work in _rewards(view(config), config.prompts.heldout, tokens):
        yield replace(work, key=work.key.replace("reward", key, 1))


def _arena(stage: str, config: Config, rates: Rates) -> Iterator[Work]:
    arena, judge = config.evals.arena, config.judge
    assert arena is not None
    asked = config.prompts.heldout if arena.source == "heldout" else rates.questions
    asked = min(asked, arena.limit) if arena.limit is not None else asked
    answer = min(rates.answer, arena.max_new_tokens)
    if stage == "arena_verdicts":
        rows = asked * (2 if arena.orders == "both" else 1)
        if judge.kind == "model":
            yield Work(
                "judge.path",
                str(judge.path),
                judge.revision,
                judge.dtype,
                "judges",
                rows,
                written=rows * min(rates.verdict, judge.max_new_tokens),
                read=rows * (rates.prompt + 2 * answer),
                longest=judge.max_prompt + judge.max_new_tokens,
            )
        return
    role = stage.removeprefix("arena_")
    system = getattr(arena, role)
    if system.answers is None:
        model = _policy(config)
        if system.path is not None:
            model = replace(model, key=f"evals.arena.{role}.path", path=system.path, revision=system.revision)
        longest = (config.prompts.max_tokens or config.model.max_length) + arena.max_new_tokens
        yield _writer(model, asked, answer, longest)


def _training(config: Config, rates: Rates, answer: float) -> Work:
    """Examples, and their tokens as packed rows have them: a pair's prompt once, where it is shared."""
    method, pairs = config.method, config.method.trains_on == "pairs"
    pools = config.prompts.train * (len(config.lang.languages) if config.pairing.scope == "mono" else 1)
    if method.trains_on == "reference":
        rows = float(config.prompts.train * len(config.lang.languages))
    else:
        rows = float(pools * config.pairing.pairs_per_pool)
    prompt = rates.prompt
    shared = config.trainer.packing and config.trainer.share_prompts
    tokens = (prompt + 2 * answer if shared else 2 * (prompt + answer)) if pairs else prompt + answer
    loss = bind_target("method.loss", method.loss)
    reference = any(name.startswith("reference_") for name in inspect.signature(loss).parameters)
    looks = (1 if config.trainer.cache_reference else method.epochs) if reference else 0
    return replace(
        _policy(config),
        role="trains",
        rows=rows,
        trained=rows * method.epochs * tokens,
        read=rows * looks * tokens,
        longest=config.model.max_length,
    )
