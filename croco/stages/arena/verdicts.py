"""What the judge says of every question, verdict by verdict, as it comes."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from croco.artifacts.records import Generation, Prompt, Verdict
from croco.config import ArenaConfig, Config, functions
from croco.errors import UserError
from croco.evals.arena import judges, judging, questions
from croco.evals.arena.judges import Game, Judgement
from croco.language import disarm
from croco.models.slices import checkpoint_slice, engine_slice
from croco.stages.base import Job, Stage

FLUSH_SECONDS = 2.0  # a verdict waits at most this long before it is on the disk


def slice_of(config: Config) -> dict[str, Any]:
    """Whatever can change a verdict; where an endpoint's model runs, and how patiently it is asked, cannot."""
    judge, arena = config.judge, _arena(config)
    asked = {"orders": arena.orders, "seed": arena.seed, "kind": judge.kind}
    if judge.kind == "function":
        # An edited one judges again.
        return {**asked, "function": functions.identity("judge.function", str(judge.function))}
    message = judging.compose(["instruction", "first", "second"], answer=judge.answer)
    settings = ("template_options", "temperature", "top_p", "max_new_tokens", "max_prompt", "seed")
    asked |= {name: getattr(judge, name) for name in settings}
    if judge.answer == judging.JSON:
        asked |= {"answer": judge.answer, "form": judging.FORM}
    asked["message"] = hashlib.sha256(message.encode()).hexdigest()[:16]
    if judge.kind == "endpoint":
        own = sorted(judges.marks_at_hand(judge))
        spelt = hashlib.sha256("\n".join([*disarm.FAMILIES, *own]).encode()).hexdigest()[:16]
        return {**asked, "model": judge.path, "disarmed": spelt}
    return {
        **asked,
        **checkpoint_slice(judges.checkpoint(judge)),
        **engine_slice(judges.with_options(config.engine, judge)),
    }


def run(job: Job) -> dict[str, Any]:
    """Fill `verdicts` with what the judge says of every question, in each order that is asked for; goes on behind a kill.

    Raises:
        UserError: some are missing.
    """
    judge, arena = job.config.judge, _arena(job.config)
    prompts = job.inputs["arena_prompts"].rows("prompts", Prompt)
    texts = [
        {g.prompt_id: g.text for g in job.inputs[f"arena_{role}"].rows("generations", Generation)}
        for role in ("candidate", "opponent")
    ]
    games = [
        game
        for p in prompts
        for game in judges.games(p, texts[0][p.prompt_id], texts[1][p.prompt_id], arena.orders, arena.seed, judge.seed)
    ]
    done = {(r["prompt_id"], r["order"]) for _, _, r in job.output.journalled()}
    missing = [game for game in games if (game.prompt.prompt_id, game.order) not in done]
    if missing:
        _judge(job, missing, texts, len(games))
    count = job.output.seal_journal("verdicts", Verdict, order=lambda r: (r["prompt_id"], r["order"]))
    if count != len(games):
        raise UserError(f"{job.output.path}: {count} of {len(games)} verdicts are there; run again to make the rest")
    winners = Counter(job.output.table("verdicts", ["winner"])["winner"].to_pylist())
    of_ours = judges.marks_at_hand(judge) if judge.kind == "endpoint" else None
    spelt = 0 if of_ours is None else sum(judges.disarmed(game, of_ours) != game for game in games)
    unread = winners[None]
    return {
        "rows": count,
        "winners": {str(winner): n for winner, n in winners.items()},
        "unreadable": unread,
        "disarmed": spelt,
        "notes": [
            *([f"{unread:,} cannot be read"] if unread else []),
            *([f"{spelt:,} messages spelt control tokens, which were disarmed"] if spelt else []),
        ],
    }


def accept(config: Config, summary: dict[str, Any]) -> None:
    """A judge whose verdicts cannot be read stops the run; it says how many of a language's there are."""
    unread, rows = summary.get("unreadable", 0), max(summary["rows"], 1)
    if unread / rows > config.judge.max_unreadable:
        raise UserError(
            f"judge.max_unreadable: {unread:,} of {rows:,} verdicts cannot be read ({unread / rows:.0%}, at most "
            f"{config.judge.max_unreadable:.0%}); see `text` in verdicts.parquet, raise judge.max_new_tokens where they are cut "
            "off, or choose judge.answer=json or another judge"
        )


def _judge(job: Job, games: Sequence[Game], texts: Sequence[Mapping[str, str]], total: int) -> None:
    config = job.config
    judge = job.engines.get(("judge", repr(config.judge)), lambda: judges.build(config.judge, config.engine))
    name = config.judge.path or config.judge.function or ""
    journal = job.output.journal()
    waiting: list[Verdict] = []
    flushed = time.monotonic()
    try:
        with job.progress.task(job.label, total, "verdicts", done=total - len(games)) as task:
            for judgement in judge.judge(games):
                waiting.append(_verdict(judgement, texts, name, config.judge.answer))
                task.advance(1)
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    journal.append(waiting)
                    waiting, flushed = [], time.monotonic()
    finally:
        journal.append(waiting)
        journal.close()


def _verdict(judgement: Judgement, texts: Sequence[Mapping[str, str]], judge: str, answer: str) -> Verdict:
    game = judgement.game
    mark = judging.verdict(judgement.text, judgement.finish_reason, answer)
    category, subcategory = questions.kinds(game.prompt)
    candidate, opponent = (len(answers[game.prompt.prompt_id]) for answers in texts)
    return Verdict(
        prompt_id=game.prompt.prompt_id,
        language=game.prompt.language,
        order=game.order,
        winner=judging.winner(mark, game.order),
        text=judgement.text,
        finish_reason=judgement.finish_reason,
        truncated=judgement.truncated,
        candidate_characters=candidate,
        opponent_characters=opponent,
        category=category,
        subcategory=subcategory,
        judge=judge,
        seed=game.seed,
    )


def _arena(config: Config) -> ArenaConfig:
    assert config.evals.arena is not None, "stages are asked whether they are wanted"
    return config.evals.arena


STAGE = Stage(
    name="arena_verdicts",
    needs=("arena_prompts", "arena_candidate", "arena_opponent"),
    config=slice_of,
    run=run,
    version=2,
    per_language=True,
    accept=accept,
    wanted=lambda config: config.evals.arena is not None,
)
