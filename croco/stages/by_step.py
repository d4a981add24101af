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
from croco.evals.comparing import by_step, overoptimisation, paired
from croco.page import by_step as drawn
from croco.stages.base import Job, Stage
from croco.training import kept

Made = Mapping[str, Artifact | Artifacts]


@dataclass(frozen=True)
class Measured:
    """An evaluation of answers that can be made at any step."""

    name: str
    metric: str
    wanted: Callable[[Config], bool]
    config: Callable[[Config], dict[str, Any]]
    """What its results depend on besides what they are read from."""
    settings: Callable[[Config], paired.Settings]
    prompts: str
    """The stage whose prompts are answered."""
    base: Sequence[Stage]
    """What leads to the results before training, one after the other: answers, and their rewards where these are measured."""
    tuned: Sequence[Stage]
    at: Callable[[int], Sequence[Stage]]
    """After a step."""
    graded: Callable[[Job, Mapping[str, str]], Iterator[Result]]
    """Instance-level results, from the name of the last of these stages by system."""

    def stages(self, steps: Sequence[int]) -> dict[str, Sequence[Stage]]:
        """System -> its stages; `steps` are all, the first and the last among them."""
        between = {by_step.system(step, steps[-1]): self.at(step) for step in steps[1:-1]}
        return {by_step.BASE: self.base, **between, by_step.TUNED: self.tuned}


def stages_of(measured: Sequence[Measured], config: Config, made: Made) -> Sequence[Stage]:
    """The stages behind training: answers at every step, and what they come to; none where no steps are asked for.

    Raises:
        UserError: training was made without keeping a step's adapter, or has no such step.
    """
    wanted = [one for one in measured if one.wanted(config)]
    if not wanted or (config.evals.checkpoints is None and config.evals.gold is None):
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
    every = [0, *steps, total]
    # All answers before any reward: a model is loaded once.
    columns = [list(itertools.zip_longest(*one.stages(every).values())) for one in wanted]
    rows = itertools.chain.from_iterable(itertools.zip_longest(*columns, fillvalue=()))
    return [*itertools.chain.from_iterable(rows), _stage(wanted, every)]


def planned(measured: Sequence[Measured], config: Config) -> list[Stage]:
    """The stages that will stand behind training; how many steps there will be is known, and which they are is not yet, so that
    they are numbered."""
    wanted = [one for one in measured if one.wanted(config)]
    if config.evals.checkpoints is None and config.evals.gold is None:
        return []
    asked = config.evals.checkpoints
    between = asked - 1 if isinstance(asked, int) else len(asked or ())
    found = (one for of in wanted for column in of.stages(range(between + 2)).values() for one in column)
    return list({one.name: one for one in found}.values())


def _kept(training: Artifact) -> str:
    steps = sorted(int(path.name.partition("-")[2]) for path in training.path.glob("steps/step-*"))
    return ", ".join(map(str, steps))


def _stage(wanted: Sequence[Measured], steps: Sequence[int]) -> Stage:
    read = {one.name: {system: stages[-1].name for system, stages in one.stages(steps).items()} for one in wanted}

    def run(job: Job) -> dict[str, Any]:
        rows = itertools.chain.from_iterable(one.graded(job, read[one.name]) for one in wanted)
        count = job.output.write_table("results", records.schema(Result), map(records.as_dict, rows))
        scores = paired.scores(job.output.table("results"))
        courses = {one.metric: _course(one, scores, steps) for one in wanted}
        found: list[by_step.Point] = []
        for one in wanted:
            there = _languages([courses[one.metric]], job.config)
            found += by_step.points(one.metric, courses[one.metric], there, one.settings(job.config))
        _log(job, found)
        settings = wanted[0].settings(job.config)
        return {"rows": count, "steps": list(steps)} | _summary(found, _parted(courses, job.config, settings), settings)

    return Stage(
        name="checkpoints",
        needs=tuple(dict.fromkeys(name for one in wanted for name in (one.prompts, *read[one.name].values()))),
        config=lambda config: {"steps": list(steps), **{one.name: one.config(config) for one in wanted}},
        run=run,
        version=2,
    )


def _course(
    one: Measured, scores: Mapping[tuple[str, str], paired.Scores], steps: Sequence[int]
) -> dict[int, paired.Scores]:
    """Step -> scores; none where nothing could be scored."""
    return {step: scores.get((one.metric, by_step.system(step, steps[-1])), {}) for step in steps}


def _languages(courses: Sequence[Mapping[int, paired.Scores]], config: Config) -> list[str]:
    """Those with something at every step: checks may ask in some only, and no answer in a language may have a reward."""
    return [name for name in config.lang.languages if all(name in at for course in courses for at in course.values())]


def _parted(
    courses: Mapping[str, Mapping[int, paired.Scores]], config: Config, settings: paired.Settings
) -> list[list[overoptimisation.Course]]:
    """Per measure of gold that there is beside the proxy."""
    if overoptimisation.PROXY not in courses:
        return []
    proxy, found = courses[overoptimisation.PROXY], []
    for name in (name for name in overoptimisation.GOLDS if name in courses):
        if there := _languages([proxy, courses[name]], config):
            found.append(overoptimisation.courses(proxy, courses[name], name, there, settings))
    return found


def _log(job: Job, found: Sequence[by_step.Point]) -> None:
    """Every point, for curves elsewhere."""
    for step in sorted({point.step for point in found}):
        job.tracker.log({f"{p.metric}/{p.language}": p.value for p in found if p.step == step}, step)


def _value(point: by_step.Point) -> str:
    return f"{point.step}: {point.value:.3f}"


def _summary(
    found: Sequence[by_step.Point], parted: Sequence[Sequence[overoptimisation.Course]], settings: paired.Settings
) -> dict[str, Any]:
    confidence = settings.confidence
    lines: dict[str, list[by_step.Point]] = {}
    for point in found:
        if point.language == paired.MACRO:
            lines.setdefault(point.metric, []).append(point)
    first = next(iter(lines.values()))[-1].effect
    assert first is not None, "the last step is not the first"
    told = [f"{name.capitalize()} by step: {', '.join(map(_value, of))}." for name, of in lines.items()]
    measured = [point for point in found if point.metric != overoptimisation.PROXY or not parted]
    tables = [by_step.table(found, confidence), *(overoptimisation.table(of, confidence) for of in parted)]
    curves = [curve for of in parted for curve in drawn.against(of, confidence)]
    return {
        "headline": " ".join(told),
        "metric": first.difference,
        "points": [asdict(point) for point in found],
        "tables": [asdict(table) for table in tables],
        "curves": [asdict(curve) for curve in [*curves, *drawn.curves(measured, confidence)]],
        "warnings": [warning for of in parted for warning in overoptimisation.warnings(of, confidence)],
        "overoptimised": {of[0].gold: [one.language for one in of if one.hacked(confidence)] for of in parted},
    }
