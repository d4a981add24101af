"""Rounds between offline and online: generations, scores, pairs and training again, each round with the policy so far.

Every round is made of the stages of an offline run, and each of its artifacts is addressed, shared and resumed like theirs; a
run that is killed within a round goes on there. The last round's artifacts carry the names of the offline ones, so that what
comes behind them (evaluations, the report) sees no difference. One round is the offline run itself.

Decisions the paper leaves open:
1. The adapter, the optimiser's moments, the step count and the learning-rate schedule go on over the rounds. The schedule's
   length is the steps taken so far plus those planned, so a pool that gives no pair shortens the rest a little.
2. A round draws from seeds of its own, so that a prompt that comes again (in a further epoch) gets other samples.
3. A prompt's pool is what a round takes. Where a reward compares with English it takes the prompt in all languages.
4. With `round_data=accumulated`, round r trains on all pairs of rounds 0..r, once.
5. A reward that compares the policy with itself (ICR with `follow`) reads, from the second round on, the adapter of the round
   before against the same reference.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from croco.artifacts import records
from croco.artifacts.records import Prompt
from croco.artifacts.store import Artifact, Artifacts
from croco.config import Config, seeds
from croco.config.scorers import following, needs_english
from croco.maths.rounds import Round, rounds
from croco.show.progress import Progress
from croco.stages.base import Job, Stage, seen_from

if TYPE_CHECKING:
    from croco.training.start import Start

Made = Mapping[str, Artifact | Artifacts]
SEEDS_APART = 1_000  # between rounds; evaluations use the seed behind the candidates'


@dataclass(frozen=True)
class Parts:
    """The stages of an offline run that a round repeats."""

    generations: Stage
    scores: Stage
    pairs: Stage
    training: Stage
    train: Callable[[Job, Start], dict[str, Any]]
    """The training stage's function, told where to begin."""


def stages_of(parts: Parts, config: Config, made: Made) -> Sequence[Stage]:
    """The stages of all rounds behind the prompts; none where there is one round, which the offline stages are."""
    method = config.method
    if method.refresh_every is None:
        return ()
    units = _units(config, made["prompts"])
    pairs = config.pairing.pairs_per_pool
    if config.pairing.scope == "mono" and _by_prompt(config):
        pairs *= len(config.lang.languages)
    plan = rounds(len(units), pairs, method.batch_size, method.epochs, method.refresh_every, seeds.of_data(config))
    if len(plan) == 1:
        return ()
    every = [_Round(parts, plan, number, units, made) for number in range(len(plan))]
    return [stage for one in every for stage in one.stages()]


def _by_prompt(config: Config) -> bool:
    return config.pairing.scope != "mono" or needs_english(config.reward)


def _units(config: Config, prompts: Artifact | Artifacts) -> list[tuple[str, str]]:
    """(prompt_id, language) of every pool; with "" for all languages where a round takes them together."""
    rows = prompts.table("prompts", ["prompt_id", "language", "split"]).to_pylist()
    together = _by_prompt(config)
    return sorted({(r["prompt_id"], "" if together else r["language"]) for r in rows if r["split"] == "train"})


@dataclass(frozen=True)
class _Round:
    """One round: the offline stages under its own names, with its own prompts and the policy so far."""

    parts: Parts
    plan: list[Round]
    number: int
    units: list[tuple[str, str]]
    made: Made
    """What the chain has made; filled up by the time a stage is asked."""

    def name(self, stage: str, number: int | None = None) -> str:
        """A stage's name in this round (or another); the last round's are the offline ones."""
        number = self.number if number is None else number
        return stage if number == len(self.plan) - 1 and stage != "prompts" else f"{stage}_{number}"

    def stages(self) -> list[Stage]:
        return [self._prompts(), self._generations(), self._scores(), self._pairs(), self._training()]

    @property
    def before(self) -> Artifact | None:
        """The training of the round before."""
        if self.number == 0:
            return None
        artifact = self.made[self.name("training", self.number - 1)]
        assert isinstance(artifact, Artifact)
        return artifact

    def config(self, config: Config) -> Config:
        """With the policy so far, seeds of its own, and the reward that follows the policy."""
        sampling = replace(config.sampling, seed=config.sampling.seed + SEEDS_APART * self.number)
        method = replace(config.method, epochs=self._passes(config))
        config = replace(config, sampling=sampling, method=method)
        if self.before is None:
            return config
        adapter = str(self.before.path / "adapter")
        return replace(config, model=replace(config.model, adapter=adapter), reward=following(config.reward, adapter))

    def _passes(self, config: Config) -> float:
        return 1.0 if config.method.round_data == "accumulated" else self.plan[self.number].passes

    def _prompts(self) -> Stage:
        taken = {self.units[unit] for unit in self.plan[self.number].units}
        digest = hashlib.sha256(repr(sorted(taken)).encode()).hexdigest()[:16]

        def run(job: Job) -> dict[str, Any]:
            rows = [p for p in job.inputs["prompts"].rows("prompts", Prompt) if p.split == "train"]
            own = [p for p in rows if not taken.isdisjoint({(p.prompt_id, p.language), (p.prompt_id, "")})]
            return {"rows": job.output.write_table("prompts", records.schema(Prompt), map(records.as_dict, own))}

        return Stage(
            name=self.name("prompts"),
            needs=("prompts",),
            config=lambda config: {"pools": digest},
            run=run,
            version=1,
            folder="round_prompts",
            per_language=True,
        )

    def _again(self, stage: Stage, renamed: Mapping[str, str]) -> Stage:
        """A stage under this round's name; `renamed` says what its inputs are called in this round."""

        def inputs(job: Job) -> dict[str, Artifact | Artifacts]:
            found = {own: job.inputs[here] for own, here in renamed.items()}
            extra = zip(stage.also(job.config), also(job.config), strict=True)
            return found | {own: job.inputs[here] for own, here in extra}

        def also(config: Config) -> tuple[str, ...]:
            # The English prompt is the same in all rounds, the English answers are this round's.
            return tuple(need.replace("generations@", f"{self.name('generations')}@") for need in stage.also(config))

        again = replace(
            stage,
            name=self.name(stage.name),
            folder=stage.folder or stage.name,
            needs=tuple(renamed.values()),
            also=also,
            config=lambda config: stage.config(self.config(config)),
        )
        return seen_from(again, lambda job: replace(job, config=self.config(job.config), inputs=inputs(job)))

    def _generations(self) -> Stage:
        return self._again(self.parts.generations, {"prompts": self.name("prompts")})

    def _scores(self) -> Stage:
        names = {"prompts": self.name("prompts"), "generations": self.name("generations")}
        return self._again(self.parts.scores, names)

    def _pairs(self) -> Stage:
        stage = self._again(self.parts.pairs, {n: self.name(n) for n in ("prompts", "generations", "scores")})
        if self.number == len(self.plan) - 1:
            return stage
        quiet = Progress(Console(quiet=True))  # the last round's report is the one that is shown; all are kept
        return replace(stage, run=lambda job: stage.run(replace(job, progress=quiet)))

    def _training(self) -> Stage:
        stage = self.parts.training
        earlier = tuple(self.name("pairs", number) for number in range(self.number))
        before = () if self.number == 0 else (self.name("training", self.number - 1),)

        def also(config: Config) -> tuple[str, ...]:
            return earlier if config.method.round_data == "accumulated" else ()

        def slice_of(config: Config) -> dict[str, Any]:
            """Without the adapter, which the round before stands for."""
            own = replace(self.config(config), model=config.model)
            return stage.config(own) | {"reference": config.method.reference, "later": self._later(config)}

        return replace(
            stage,
            name=self.name("training"),
            folder=stage.folder or stage.name,
            needs=("prompts", *before, self.name("pairs")),
            also=also,
            config=slice_of,
            run=lambda job: self._train(job, [*also(job.config), self.name("pairs")]),
        )

    def _later(self, config: Config) -> int:
        """Optimiser steps planned behind this round."""
        counts = [one.steps for one in self.plan]
        if config.method.round_data == "accumulated":
            counts = [sum(counts[: i + 1]) for i in range(len(counts))]
        return sum(counts[self.number + 1 :])

    def _train(self, job: Job, names: Sequence[str]) -> dict[str, Any]:
        from croco.training.start import Start

        pairs = Artifacts({name: self._single(job, name) for name in names})
        config, before = self.config(job.config), self.before
        initial = None if job.config.model.adapter is None else Path(job.config.model.adapter)
        adapter = initial if config.model.adapter is None else Path(config.model.adapter)
        start = Start(
            adapter=adapter,
            before=None if before is None else before.path,
            step=0 if before is None else before.summary["steps"],
            later=self._later(job.config),
            reference=adapter if config.method.reference == "previous" else initial,
        )
        inputs = {"prompts": job.inputs["prompts"], "pairs": pairs}
        summary = self.parts.train(replace(job, config=config, inputs=inputs), start)
        if before is None:
            return summary
        shutil.rmtree(before.path / "checkpoints", ignore_errors=True)  # the last round's are all that resuming reads
        return summary | {"tokens": before.summary["tokens"] + summary["tokens"]}

    @staticmethod
    def _single(job: Job, name: str) -> Artifact:
        artifact = job.inputs[name]
        assert isinstance(artifact, Artifact)
        return artifact
