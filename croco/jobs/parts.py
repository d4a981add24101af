"""A sweep in a queue, cut into parts that hold no more than they use: what jobs share is made by jobs of its own, pairs and
reports are made without a GPU, and everything stands behind what it reads, so that nobody holds a GPU to wait.

A part is some stages of some job's chain, with the resources of the hungriest. Stages are cut where what they ask for changes and
where several jobs want the same; parts of several jobs that would make the same artifacts are one. What several want and many can
make together (answers, rewards) has several workers. The job itself comes last and finds all but its tables made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from croco import tracking
from croco.artifacts.store import Artifact, Artifacts, Store
from croco.config import Config
from croco.config.scorers import ImplicitOptions, options_of, scoring_parts
from croco.config.worlds import reads_reward
from croco.jobs import capacity, work
from croco.jobs.chain import Chain
from croco.jobs.rates import Rates
from croco.show.progress import Progress
from croco.show.tables import Table
from croco.stages.base import Stage

ENGLISH = "english"
"""In the place of a stage: the English run whose adapter is the reward (english.py)."""
TRAINS = ("training", "reward_model")
MOMENT = 0.1  # GPU hours from which what several jobs want is worth a part of its own
CALLED = {"generations": "answers", "scores": "answers", "training": "training", "pairs": "pairs", "prompts": "prompts"}
"""Stages that a part is called after, the first that it has."""


@dataclass(frozen=True)
class Task:
    """What one process in the queue does of a chain."""

    makes: tuple[str, ...] = ()
    """Stages; none is all of them."""
    device: bool = True
    """Whether it may do what takes a device."""
    worker: int = 0
    """Which of several it is."""

    def of(self, config: Config) -> Config:
        """The configuration as this process takes part."""
        return replace(config, workers=replace(config.workers, number=self.worker)) if self.worker else config


current = Task()
"""Of this process; of any that is not in a queue, the whole chain."""


@dataclass(frozen=True)
class Resources:
    """Of one worker."""

    nodes: int = 1
    gpus: int = 0
    """Of each node."""
    device: bool = False
    """Whether it does what takes a device, which may be a CPU."""

    def said(self) -> str:
        """`2 nodes of 4 GPUs`."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus != 1)}" if self.gpus else "no GPU"
        return gpus if self.nodes == 1 else f"{self.nodes} nodes of {gpus}"


@dataclass(frozen=True)
class Part:
    """A job of the queue, or several equal workers."""

    name: str
    makes: tuple[str, ...]
    """Stages, in the chain's order."""
    resources: Resources
    job: int
    """Whose configuration makes it: a place in the sweep."""
    after: tuple[int, ...]
    """Places of parts that come before."""
    hours: float
    """Of GPUs, by the rates of docs/scale.md."""
    shares: bool
    """Whether several workers can make it together."""
    jobs: list[int] = field(default_factory=list)
    """That want it."""

    def workers(self, most: int) -> int:
        """As many as jobs wait for it, and no more than it has GPU hours."""
        return max(1, min(len(self.jobs), math.ceil(self.hours), most)) if self.shares else 1


@dataclass(frozen=True)
class Last:
    """A job of the sweep itself, behind its parts."""

    resources: Resources
    after: tuple[int, ...]


Key = tuple[object, ...]


@dataclass(frozen=True)
class Planned:
    """A stage of a job that has something to make."""

    stage: Stage
    addresses: frozenset[str]
    before: tuple[str, ...]
    """Stages with something to make whose work it reads."""
    kind: Key
    """What is cut where it changes."""
    resources: Resources
    level: int
    """How many cuts lie before it."""
    hours: float


def cut(configs: Sequence[Config | None]) -> tuple[list[Part], list[Last]]:
    """The parts, each behind those it needs, and the jobs; None is a job that cannot be planned, which is left whole."""
    chains = {
        number: _plan(config) for number, config in enumerate(configs) if config is not None and not is_whole(config)
    }
    users = Counter(
        address for planned in chains.values() for found in planned.values() for _, address in _fresh(found)
    )
    parts: list[Part] = []
    places: dict[Key, int] = {}
    last = []
    for number, config in enumerate(configs):
        if config is None or number not in chains:
            last.append(_whole(number, config, parts, places))
            continue
        stages = _levels(config, chains[number], users)
        behind = {one for stage in stages if stage.resources.device for one in _above(stage.stage.name, stages)}
        made: dict[str, int] = {}
        for (_, kind), found in _grouped(one for one in stages if one.stage.name in behind).items():
            addresses = frozenset(address for one in found for address in one.addresses)
            place = places.get((kind, addresses))
            if place is None:
                place = places[kind, addresses] = len(parts)
                after = {made[name] for one in found for name in one.before if name in made} - {place}
                parts.append(_part(found, number, _nearest(after, parts), parts))
            parts[place].jobs.append(number)
            made.update({one.stage.name: place for one in found})
        last.append(Last(Resources(), _nearest(set(made.values()), parts)))
    return parts, last


def _nearest(places: set[int], parts: Sequence[Part]) -> tuple[int, ...]:
    """Those that no other of them stands behind."""

    def before(place: int) -> set[int]:
        return {one for after in parts[place].after for one in (after, *before(after))}

    return tuple(sorted(places - {one for place in places for one in before(place)}))


def is_whole(config: Config) -> bool:
    """Whether a job cannot be cut: its stages are told by what it makes, or its engine is a cluster of its own."""
    rounds = config.method.refresh_every is not None
    return rounds or trains_english(config) or config.engine.ray is not None or config.workers.share


def trains_english(config: Config) -> bool:
    """Whether an English run comes first, whose adapter is the reward."""
    options = (options_of(part) for part in scoring_parts(config.reward)) if reads_reward(config) else ()
    return any(isinstance(one, ImplicitOptions) and one.adapter is None for one in options)


def of_training(config: Config) -> Resources:
    """What a training takes; `auto` is what its job is given, and asks for one GPU."""
    trainer = config.trainer
    gpus = 1 if trainer.devices == "auto" else int(trainer.devices)
    return Resources(trainer.num_nodes, gpus if trainer.accelerator == "gpu" else 0, True)


def resources(stage: Stage, config: Config) -> Resources:
    """What a stage takes."""
    if not work.takes_device(stage.name, config):
        return Resources()
    if stage.name in TRAINS and config.method.trains_on != "nothing":
        return of_training(config)
    engines = [capacity.gpus(one, config) for one in work.of(stage.name, config, Rates())]
    return Resources(1, max(engines, default=1) if config.trainer.accelerator == "gpu" else 0, True)


def needed(stages: Sequence[Stage], config: Config, makes: Sequence[str]) -> list[Stage]:
    """The chain as far as it leads to some stages, in order; what leaves languages out before them belongs to it."""
    wanted = {one.name: one for one in reversed(stages) if one.wanted(config)}  # of equal names the first
    order = [one.name for one in stages if wanted.get(one.name) is one]
    names: set[str] = set()
    ahead = list(makes)
    while ahead:
        name = ahead.pop()
        if name in wanted and name not in names:
            names.add(name)
            ahead += _reads(wanted[name], config, [wanted[one] for one in order[: order.index(name)]])
    return [wanted[name] for name in order if name in names]


def table(parts: Sequence[Part], last: Sequence[Last], most: int) -> Table:
    """What is submitted: parts, alike ones in a row, what each waits on, makes and asks for; then the jobs."""
    alike: dict[Key, list[Part]] = {}
    for part in parts:
        alike.setdefault((part.makes, part.resources, part.after, part.workers(most)), []).append(part)
    rows: list[tuple[object, ...]] = []
    for found in alike.values():
        first, count = found[0], found[0].workers(most)
        name = first.name if len(found) == 1 else f"{first.name} to {found[-1].name.rpartition('-')[2]}"
        asks = f"{count} x {first.resources.said()}" if count > 1 else first.resources.said()
        after = ", ".join(parts[one].name for one in first.after)
        hours = sum(part.hours for part in found) if first.resources.device else None
        rows.append((name, after, ", ".join(first.makes), asks, hours))
    for (wants, behind), count in Counter((one.resources, bool(one.after)) for one in last).items():
        what = "the whole chain" if wants.device else "tables and reports"
        rows.append((f"{count} jobs", "their parts" if behind else "", what, wants.said(), None))
    return Table(
        f"{len(last)} jobs in {len(parts)} parts: what is submitted",
        ("part", "waits on", "makes", "each asks for", "GPU hours"),
        rows,
        "What waits holds nothing. Where a part fails, what stands behind it is taken out of the queue.",
        digits=1,
    )


def _plan(config: Config) -> dict[str, Artifact | Artifacts]:
    from croco.stages import stages

    chain = Chain(config, Store(Path(config.paths.artifacts)), Progress(), tracking.silence())
    return dict(chain.plan(stages()))


def _fresh(made: Artifact | Artifacts) -> list[tuple[str, str]]:
    """(stage's folder, address) of what is not made yet."""
    several = made.by_language.values() if isinstance(made, Artifacts) else (made,)
    return [(one.stage, one.address) for one in several if isinstance(one, Artifact) and not one.sealed]


def _reads(stage: Stage, config: Config, earlier: Sequence[Stage]) -> list[str]:
    """Names of the stages that come before one: those it reads, and those that may leave languages out of it."""
    narrowing = [one.name for one in earlier if one.narrows is not Stage.narrows]
    return [*(need.partition("@")[0] for need in (*stage.needs, *stage.also(config))), *narrowing]


def _many(stage: Stage, config: Config) -> int:
    return len(stage.languages(config)) if stage.per_language else 1


def _levels(config: Config, planned: dict[str, Artifact | Artifacts], users: Counter[str]) -> list[Planned]:
    """The stages that have something to make, in order."""
    from croco.stages import behind_training, stages

    found: dict[str, Planned] = {}
    earlier: list[Stage] = []
    for stage in stages():
        if not stage.wanted(config) or stage.name in {one.name for one in earlier}:
            continue
        addresses = frozenset(address for _, address in _fresh(planned[stage.name]))
        if addresses:
            wants = resources(stage, config)
            hours = work.gpu_hours(stage.name, config) * len(addresses)
            if stage.name == "training":  # whose part goes on with what is measured by step
                hours += sum(work.gpu_hours(one.name, config) * _many(one, config) for one in behind_training(config))
            long = hours > MOMENT or stage.name in work.UNCOUNTED
            kind = _kind(stage, wants, long and max(users[one] for one in addresses) > 1)
            before = tuple(name for name in _reads(stage, config, earlier) if name in found)
            level = max((found[name].level + (found[name].kind != kind) for name in before), default=0)
            found[stage.name] = Planned(stage, addresses, before, kind, wants, level, hours)
        earlier.append(stage)
    return list(found.values())


def _kind(stage: Stage, wants: Resources, shared: bool) -> Key:
    """Alone is what several want and one process makes, together what many can make."""
    if not wants.device:
        return ("host",)
    if not shared:
        return ("own", wants)
    return ("together", wants) if stage.fill is not None else ("alone", wants, stage.name)


def _above(name: str, stages: Sequence[Planned]) -> set[str]:
    """A stage and all that it comes of."""
    of_name = {one.stage.name: one for one in stages}
    return {name}.union(*(_above(before, stages) for before in of_name[name].before))


def _grouped(stages: Iterator[Planned]) -> dict[tuple[int, Key], list[Planned]]:
    """By level and kind, what comes first first."""
    groups: dict[tuple[int, Key], list[Planned]] = {}
    for one in sorted(stages, key=lambda one: one.level):
        groups.setdefault((one.level, one.kind), []).append(one)
    return groups


def _part(found: Sequence[Planned], number: int, after: tuple[int, ...], parts: Sequence[Part]) -> Part:
    makes = tuple(one.stage.name for one in found)
    name = next((CALLED[one] for one in CALLED if one in makes), makes[0])
    return Part(
        name=f"{name}-{sum(part.name.startswith(f'{name}-') for part in parts) + 1}",
        makes=makes,
        resources=found[0].resources,
        job=number,
        after=after,
        hours=sum(one.hours for one in found),
        shares=found[0].kind[0] == "together",
    )


def _whole(number: int, config: Config | None, parts: list[Part], places: dict[Key, int]) -> Last:
    """A job that does all itself, behind the English run that it may share."""
    if config is None:
        return Last(Resources(device=True), ())
    wants = of_training(config)
    if not trains_english(config):
        return Last(wants, ())
    run = (ENGLISH, config.model, config.reward, config.method, config.seed)
    place = places.get((repr(run),))
    if place is None:
        place = places[repr(run),] = len(parts)
        parts.append(Part(f"{ENGLISH}-{len(parts) + 1}", (ENGLISH,), wants, number, (), 0.0, False))
    parts[place].jobs.append(number)
    return Last(wants, (place,))
