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
        return {**asked, "model": judge.path}
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
    return {"rows": count, "winners": {str(winner): n for winner, n in winners.items()}}


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
    wanted=lambda config: config.evals.arena is not None,
)
