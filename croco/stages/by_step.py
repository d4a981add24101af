"""Evaluations by training step: answers of the adapters that training kept on its way, graded like those of base and tuned."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from croco.artifacts import records
from croco.artifacts.records import Result
from croco.artifacts.store import Artifact, Artifacts
from croco.config import Config
from croco.errors import UserError
from croco.evals.comparing import by_step, paired
from croco.page import by_step as drawn
from croco.stages.base import Job, Stage
from croco.training import kept

Made = Mapping[str, Artifact | Artifacts]


@dataclass(frozen=True)
class Measured:
    """An evaluation of answers that can be made at any step."""

    stage: Stage
    """The evaluation of base and tuned: says whether it is wanted and how it is set up."""
    prompts: str
    """The stage whose prompts are answered."""
    base: Stage
    tuned: Stage
    """Answers before and after training."""
    at: Callable[[int], Stage]
    """Answers after a step."""
    graded: Callable[[Job, Mapping[str, str]], Iterator[Result]]
    """Instance-level results, from the name of the answers by system."""
    metric: str


def stages_of(measured: Sequence[Measured], config: Config, made: Made) -> Sequence[Stage]:
    """The stages behind training: answers at every step, and what they come to; none where no steps are asked for.

    Raises:
        UserError: training was made without keeping a step's adapter, or has no such step.
    """
    wanted = [one for one in measured if one.stage.wanted(config)]
    if config.evals.checkpoints is None or not wanted:
        return ()
    training = made["training"]
    assert isinstance(training, Artifact)
    total = training.summary["steps"]
    steps = kept.steps(config.evals.checkpoints, total)
    missing = [step for step in steps if not (training.path / kept.folder(step)).is_dir()]
    if missing:
        raise UserError(
            f"evals.checkpoints: training ({training.path}) was made without keeping the adapters of steps "
            f"{', '.join(map(str, missing))}; it kept those of {_kept(training) or 'none'}. Choose among these, or remove that "
            "folder to train again with the steps kept"
        )
    answers = [stage for one in wanted for stage in (one.base, *map(one.at, steps), one.tuned)]
    return [*answers, _stage(wanted, [0, *steps, total])]


def _kept(training: Artifact) -> str:
    steps = sorted(int(path.name.partition("-")[2]) for path in training.path.glob("steps/step-*"))
    return ", ".join(map(str, steps))


def _stage(wanted: Sequence[Measured], steps: Sequence[int]) -> Stage:
    total = steps[-1]

    def names(one: Measured) -> dict[str, str]:
        """System -> the stage that made its answers."""
        between = {by_step.system(step, total): one.at(step).name for step in steps[1:-1]}
        return {by_step.BASE: one.base.name, **between, by_step.TUNED: one.tuned.name}

    def run(job: Job) -> dict[str, Any]:
        rows = itertools.chain.from_iterable(one.graded(job, names(one)) for one in wanted)
        count = job.output.write_table("results", records.schema(Result), map(records.as_dict, rows))
        scores = paired.scores(job.output.table("results"))
        found: list[by_step.Point] = []
        for one in wanted:
            of_steps = {step: scores[one.metric, by_step.system(step, total)] for step in steps}
            # Checks may ask in some of the languages only.
            there = [language for language in job.config.lang.languages if language in of_steps[steps[0]]]
            found += by_step.points(one.metric, of_steps, there, _settings(job.config, one))
        return {"rows": count, "steps": list(steps)} | _summary(found, _settings(job.config, wanted[0]).confidence)

    return Stage(
        name="checkpoints",
        needs=tuple(dict.fromkeys(name for one in wanted for name in (one.prompts, *names(one).values()))),
        config=lambda config: {"steps": list(steps), **{one.stage.name: one.stage.config(config) for one in wanted}},
        run=run,
        version=1,
    )


def _settings(config: Config, one: Measured) -> paired.Settings:
    evaluation = getattr(config.evals, one.stage.name)
    return paired.Settings(evaluation.resamples, evaluation.confidence)


def _summary(found: Sequence[by_step.Point], confidence: float) -> dict[str, Any]:
    macro = [p for p in found if (p.metric, p.language) == (found[0].metric, paired.MACRO)]
    after = macro[-1].effect
    assert after is not None, "the last step is not the first"
    return {
        "headline": f"{macro[0].metric.capitalize()} by step: {', '.join(f'{p.step}: {p.value:.3f}' for p in macro)}.",
        "metric": after.difference,
        "points": [asdict(point) for point in found],
        "tables": [asdict(by_step.table(found, confidence))],
        "curves": [asdict(curve) for curve in drawn.curves(found, confidence)],
    }
