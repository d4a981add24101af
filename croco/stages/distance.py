"""How far off-policy the training data is: its log-prob under the policy before training, beside that of its own answers.

One fresh answer of the policy to each of the same prompts is the yardstick, also where the data are the policy's answers: what
selection leaves of a gap there is what "on-policy" looks like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Result
from croco.config import Config
from croco.engines import factory
from croco.engines.base import Request, seed_of
from croco.language import text
from croco.models.checkpoints import load, tokenizer_of
from croco.models.devices import release
from croco.models.slices import checkpoint_slice, engine_slice
from croco.show.tables import Table
from croco.stages.base import Job, Stage
from croco.training.rows import Row, ids_of
from croco.training.rows import rows as rows_of

SYSTEMS = ("data", "policy")
SEED = 1  # apart from the candidates' seed by what `seed_of` makes of it


def slice_of(config: Config) -> dict[str, Any]:
    """The policy that measures, and the sampling of its own answers, beside which the data's stand."""
    model = config.model
    return {
        "distance": None if config.evals.distance is None else records.as_dict(config.evals.distance),
        **checkpoint_slice(factory.policy(model)),
        "max_length": model.max_length,
        **engine_slice(config.engine.of("policy")),
        "sampling": records.as_dict(config.sampling),
        "trains_on": config.method.trains_on,
        "tokens": config.method.tokens,
    }


def run(job: Job) -> dict[str, Any]:
    """Fill `results` with the mean log-prob per token (nats) of the data's answers and of the policy's own."""
    tokenizer = tokenizer_of(factory.policy(job.config.model))
    rows = _rows(job, tokenizer)
    answers = {
        "data": [(row, ids_of(tokenizer, answer)) for row in rows for answer in row.answers],
        "policy": _own(job, tokenizer, rows),
    }
    results: list[Result] = []
    means: dict[str, dict[str, float]] = {}
    for system in SYSTEMS:
        found, means[system] = _measure(job, tokenizer, system, answers[system])
        results += found
    count = job.output.write_table("results", records.schema(Result), map(records.as_dict, results))
    return {"rows": count} | _summary(job.config.lang.languages, means)


def _rows(job: Job, tokenizer: Any) -> list[Row]:
    """The first prompts of each language that are trained on, with their answers."""
    most = job.config.evals.distance
    assert most is not None, "stages are asked whether they are wanted"
    kept: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(job.config, job.inputs["prompts"], job.inputs.get("pairs"), tokenizer):
        if len(kept[row.language]) < most.prompts:
            kept[row.language].append(row)
    return [row for own in kept.values() for row in own]


def _own(job: Job, tokenizer: Any, rows: Sequence[Row]) -> list[tuple[Row, list[int]]]:
    """A fresh answer of the policy before training to each prompt, as ids."""
    config = job.config
    engine = factory.held_generator(
        job.engines, config.engine.of("policy"), factory.policy(config.model), tokenizer, config.sampling
    )
    requests = [
        Request(
            str(place),
            row.language,
            text.prompt_ids(tokenizer, row.messages),
            range(1),
            seed_of(SEED, row.prompt_id, row.language),
        )
        for place, row in enumerate(rows)
    ]
    return [(rows[int(c.request.prompt_id)], c.token_ids) for c in engine.generate(requests)]


def _measure(
    job: Job, tokenizer: Any, system: str, answers: Sequence[tuple[Row, list[int]]]
) -> tuple[list[Result], dict[str, float]]:
    """Log-prob per token of every answer, and of all answers in a language together."""
    model = job.engines.get(
        ("logps", slice_of(job.config)["model"], str(job.config.model.adapter)), lambda: _Model(job)
    )
    sequences = [(text.prompt_ids(tokenizer, row.messages), ids) for row, ids in answers]
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    results = []
    for place, ((row, ids), total) in enumerate(zip(answers, model.logps.of(sequences), strict=True)):
        if total is None:  # too long
            continue
        totals[row.language][0] += total
        totals[row.language][1] += len(ids)
        value = total / len(ids)
        results.append(Result("distance", system, row.prompt_id, row.language, place, "logp_per_token", value))
    return results, {language: total / tokens for language, (total, tokens) in totals.items()}


class _Model:
    """The policy before training, for the engines' holder."""

    def __init__(self, job: Job) -> None:
        from transformers import AutoModelForCausalLM

        from croco.training.summed import Logps

        model, _ = load(AutoModelForCausalLM, factory.policy(job.config.model))
        too_much = "out of memory measuring one answer; lower model.max_length"
        self.logps = Logps(model, job.config.model.max_length, job.config.engine.score_tokens, too_much)

    def close(self) -> None:
        del self.logps
        release()


def _summary(languages: Sequence[str], means: dict[str, dict[str, float]]) -> dict[str, Any]:
    measured = [language for language in languages if all(language in means[system] for system in SYSTEMS)]
    rows = [
        (one, means["data"][one], means["policy"][one], means["data"][one] - means["policy"][one]) for one in measured
    ]
    count = len(rows)
    data, own = (sum(means[system][one] for one in measured) / max(1, count) for system in SYSTEMS)
    macro = ("macro", data, own, data - own)
    table = Table(
        "Training data under the policy before training (nats per token)",
        ("language", "training data", "own answers", "gap"),
        [*rows, macro] if count else [],
        "Own answers: one fresh sample to each of the same prompts. The further below 0 the gap, the more off-policy the data.",
    )
    return {
        "logp_per_token": {"data": macro[1], "policy": macro[2], "gap": macro[3]},
        "headline": f"Training data at {macro[1]:.2f} nats per token, own answers at {macro[2]:.2f}: gap {macro[3]:+.2f}.",
        "metric": macro[3],
        "tables": [asdict(table)],
    }


STAGE = Stage(
    name="distance",
    needs=("prompts", "pairs"),
    config=slice_of,
    run=run,
    version=1,
    wanted=lambda config: config.evals.distance is not None,
)
