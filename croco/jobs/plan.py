"""`croco doctor hardware=8x80GB`: what each stage of a run will hold of which GPU, how long it takes, and what it writes.

All of it is reckoned, from the configuration, the checkpoints' shapes (croco/models/shapes.py) and rates (rates.py); nothing is
loaded, made or asked of a network. What is assumed is told beneath.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from croco.cli import commandline
from croco.config import Config
from croco.engines import factory
from croco.errors import UserError
from croco.jobs import capacity, rates, work
from croco.jobs.capacity import Hardware, Holding
from croco.jobs.rates import Rates
from croco.jobs.work import Work
from croco.models.shapes import TRAINED
from croco.show import tables
from croco.show.tables import Table
from croco.stages.base import Stage

IN_FILE = 4  # bytes of an adapter's parameter
PARTS = (capacity.WEIGHTS, capacity.CACHE, capacity.ACTIVATIONS, capacity.ADAPTER, capacity.BESIDE)
COLUMNS = ("stage", "GPUs", *PARTS, "GPU hours", "hours", "GB on disk")
BILLIONS = 1e8  # parameters from which they are told in billions
IDLE = 0.1  # hours from which GPUs without work are worth a line


@dataclass(frozen=True)
class Row:
    """One model's work in a stage, over all its languages."""

    stage: str
    languages: int
    work: Work
    holding: Holding | None
    """None on a CPU."""
    busy: int
    """GPUs."""
    seconds: float
    """Of GPUs together."""
    written: float
    """Bytes on disk that stay."""

    @property
    def hours(self) -> float:
        return self.seconds / max(self.busy, 1) / 3600


def run(composed: DictConfig, said: str, words: Sequence[str]) -> int:
    """Print the plan; returns the exit code: 0, or 2 where the run cannot be made on that hardware."""
    from croco.config import strict

    try:
        hardware, own = capacity.parse(said), rates.given(words)
        config = strict(composed)
        rows = list(reckon(config, hardware, own))
        print(tables.text([table(rows, hardware), _rates(own)]))
        for line in notes(rows, config, hardware, own):
            print(line)
    except UserError as error:
        commandline.say(error)
        return 2
    except BrokenPipeError:  # `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for what is left of the process
    return 0


def reckon(config: Config, hardware: Hardware, own: Rates) -> Iterator[Row]:
    """What takes a device, in the chain's order.

    Raises:
        UserError: it does not fit; names the key that would help.
    """
    from croco.stages import stages

    last = None
    chain = ((one, one.name, 1) for one in stages() if one.wanted(config))
    for stage, called, many in (*chain, *_by_step(config)):
        many *= len(stage.languages(config)) if stage.per_language else 1
        for done in work.of(stage.name, config, own):
            holding = _holding(stage, done, config, hardware, own)
            busy = _busy(stage, holding, config, hardware)
            seconds = many * done.seconds(own, holding is not None and holding.recomputes)
            if stage.name != "training" and (done.path, done.role) != last:
                seconds += _start(config, own, busy)
            last = done.path, done.role
            yield Row(called, many, done, holding, busy, seconds, many * _bytes(stage, done, config, own))


def _by_step(config: Config) -> Iterator[tuple[Stage, str, int]]:
    """What is measured by step: one stage of each kind, what they are called, and how many there are of them."""
    from croco.stages import behind_training

    kinds: dict[str, list[Stage]] = {}
    for stage in behind_training(config):
        if found := work.BY_SYSTEM.fullmatch(stage.name):
            kinds.setdefault(found["what"], []).append(stage)
    yield from ((found[-1], f"{what} by step", len(found)) for what, found in kinds.items())


def _start(config: Config, own: Rates, busy: int) -> float:
    """Of an engine on each of its GPUs. Rounds load it again and again, where it cannot stay beside the training."""
    if config.engine.name != "vllm":
        return 0.0
    times = 1 if factory.have_room_together(config.engine) else rounds(config)
    return own.start * busy * times


def rounds(config: Config) -> int:
    """In which pairs are made and trained on; 1 offline."""
    method = config.method
    if method.refresh_every is None:
        return 1
    pools = config.prompts.train * (len(config.lang.languages) if config.pairing.scope == "mono" else 1)
    examples = pools * config.pairing.pairs_per_pool * method.epochs
    return max(1, math.ceil(examples / (method.batch_size * method.refresh_every)))


def _holding(stage: Stage, done: Work, config: Config, hardware: Hardware, own: Rates) -> Holding | None:
    if done.role == "trains":
        return capacity.training(done, config, hardware, own) if config.trainer.accelerator == "gpu" else None
    return None if config.engine.name == "fake" else capacity.engine(stage.name, done, config, hardware, own)


def _busy(stage: Stage, holding: Holding | None, config: Config, hardware: Hardware) -> int:
    """GPUs that a stage keeps at work: one engine's, or those of as many engines as there is room for, where they share it."""
    if holding is None:
        return 0
    if stage.name == "training":
        return holding.gpus
    shares = config.engine.ray is not None or (config.workers.share and stage.fill is not None)
    asked = config.engine.devices
    there = hardware.count if shares or asked == "auto" else min(int(asked), hardware.count)
    return max(1, there // holding.gpus) * holding.gpus


def _bytes(stage: Stage, done: Work, config: Config, own: Rates) -> float:
    """On disk, when it is sealed."""
    if done.role == "trains":
        adapter = done.shape.adapter(config.model.lora.r, config.model.lora.targets)
        return adapter * (IN_FILE + IN_FILE + TRAINED / 2)  # itself, and a checkpoint: adapter and two moments
    rewards = done.role in ("reads", "judges") and stage.name != "arena_verdicts"
    return own.reward * done.rows if rewards else own.table * done.written


def table(rows: Sequence[Row], hardware: Hardware) -> Table:
    """A row for each, and their sum."""
    shown = [
        (
            row.stage,
            f"{row.busy} of {hardware.count}" if row.holding else "CPU",
            *(_part(row, part) for part in PARTS),
            row.seconds / 3600 if row.holding else None,
            row.hours if row.holding else None,
            row.written / 1e9,
        )
        for row in rows
    ]
    sums = [sum(float(row[-place] or 0.0) for row in shown) for place in (3, 2, 1)]  # type: ignore[arg-type]
    title = f"What the run will hold, in GB on each GPU it has work for, and take: hardware={hardware.said}"
    note = f"Of {hardware.size / 1e9:.1f} GB that a card has for it."
    return Table(title, COLUMNS, [*shown, ("together", "", *[None] * len(PARTS), *sums)], note, digits=2)


def _part(row: Row, part: str) -> float | None:
    size = row.holding.parts.get(part) if row.holding else None
    return None if size is None else size / 1e9


def _rates(own: Rates) -> Table:
    return Table("Reckoned with (rates.NAME=VALUE sets another)", ("rate", "value", "unit", "from"), rates.rows(own))


def notes(rows: Sequence[Row], config: Config, hardware: Hardware, own: Rates) -> Iterator[str]:
    """What the table does not say: other ways, what is assumed, what is not counted."""
    for row in rows:
        yield from row.holding.notes if row.holding else ()
    yield from _idle(rows, config, hardware)
    yield from _beside(rows, own)
    yield from _models(rows)
    if not config.data.made:
        yield f"examples of ready-made data are not counted: training is taken to have {config.prompts.train:,} a language"
    if (times := rounds(config)) > 1 and not factory.have_room_together(config.engine):
        most = f"{factory.ROOM_FOR_TWO:g}"
        yield (
            f"{times:,} rounds: each is taken to start its engines again, which sleep where the host's memory has room; "
            f"engine.gpu_memory_utilization below {most} keeps them on the card"
        )
    if any(row.holding for row in rows) and config.engine.name == "hf":
        yield "engine=hf: the rates are vLLM's; transformers takes longer, and on a CPU much longer"
    from croco.stages import stages

    uncounted = [one.name for one in stages() if one.wanted(config) and one.name in work.UNCOUNTED]
    if uncounted:
        yield f"not counted: {', '.join(uncounted)}"


def _beside(rows: Sequence[Row], own: Rates) -> Iterator[str]:
    """What passes: journals until they are sealed; the pairs' CPU time."""
    journal = sum(own.journal * row.work.written * row.languages for row in rows)
    answers = sum(row.work.rows * row.languages for row in rows if row.stage in work.DECODED)
    if answers:
        yield f"on disk beside that, until it is sealed: up to {journal / 1e9:,.1f} GB of journals"
        yield f"on a CPU: pairs of {answers:,.0f} answers, {answers * own.pairing:,.0f} s"


def _models(rows: Sequence[Row]) -> Iterator[str]:
    """Each model with its size, where that is from, and the stages that it works in."""
    of_model: dict[str, list[Row]] = {}
    for row in rows:
        of_model.setdefault(row.work.path, []).append(row)
    for path, found in of_model.items():
        shape = found[0].work.shape
        many = shape.parameters
        size = f"{many / 1e9:.2f} billion parameters" if many >= BILLIONS else f"{many:,} parameters"
        yield f"{', '.join(row.stage for row in found)}: {path}, {size} ({shape.source})"


def _idle(rows: Sequence[Row], config: Config, hardware: Hardware) -> Iterator[str]:
    """Stages that leave GPUs without work, and what gives them some."""
    engines = [row for row in rows if row.work.role != "trains" and 0 < row.busy <= hardware.count // 2]
    hours = sum(row.hours for row in engines)
    if hours > IDLE and config.engine.ray is None and not config.workers.share:
        spread = sum(row.seconds / 3600 / (hardware.count // row.busy * row.busy) for row in engines)
        yield (
            "GPUs without work while answers, rewards and the like are made: engine.devices=auto takes "
            f"{spread:,.1f} h, not {hours:,.1f}"
        )
    for row in rows:
        if row.work.role == "trains" and 0 < row.busy < hardware.count and row.hours > IDLE:
            yield (
                f"training leaves {hardware.count - row.busy} GPUs without work: trainer.devices={hardware.count} "
                f"takes {row.seconds / 3600 / hardware.count:,.1f} h, not {row.hours:,.1f}"
            )
