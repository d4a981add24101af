"""Walks the stages in order: address, skip what is sealed, run what is missing, seal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from croco.artifacts import refusals
from croco.artifacts.sharing import Terms
from croco.artifacts.store import PROGRESS, Artifact, Artifacts, Store
from croco.config import Config
from croco.engines import factory
from croco.engines.holder import EngineHolder
from croco.errors import UserError
from croco.jobs import counts, memory, mirror, work
from croco.show.progress import Progress
from croco.stages.base import Job, Stage, words_of
from croco.tracking import Tracker, Trackers

SILENCE = Tracker()


class NothingToShare(Exception):
    """A worker beside the first has done what it can."""


@dataclass
class Chain:
    """One run of the chain; `artifacts` fills up as it goes."""

    config: Config
    store: Store
    progress: Progress
    trackers: Trackers
    artifacts: dict[str, Artifact | Artifacts] = field(default_factory=dict)
    engines: EngineHolder = field(default_factory=EngineHolder)
    device: bool = True
    """Whether it may do what takes a device."""
    _has_shared: bool = False
    _shares_later: bool = False
    """Whether a stage behind the present one is shared."""
    _spent: dict[str, float] = field(default_factory=dict)
    """Seconds of this process on what it shared, by address."""

    def run(self, stages: Sequence[Stage]) -> Mapping[str, Artifact | Artifacts]:
        """Make every wanted artifact that is not there yet; returns all of them by stage name."""
        if self.config.method.refresh_every is not None:
            self.engines.take_turns(factory.have_room_together(self.config.engine))
        try:
            self._walk(stages)
        finally:
            self.engines.close()
        return self.artifacts

    def _walk(self, stages: Sequence[Stage]) -> None:
        for number, stage in enumerate(stages):
            if stage.name in self.artifacts or not stage.wanted(self.config):
                continue
            self._shares_later = any(s.fill is not None and s.wanted(self.config) for s in stages[number + 1 :])
            self.artifacts[stage.name] = self._all_languages(stage) if stage.per_language else self._one(stage, None)
            self._narrow(stage)
            if stage.name == "training":  # the last round's, where there are rounds
                self.engines.end_turns()
            self._walk(stage.more(self.config, self.artifacts))

    def _narrow(self, stage: Stage) -> None:
        """Go on without the languages that a stage leaves out: with what is made of the others."""
        before = self.config
        self.config = stage.narrows(self.config, self.artifacts[stage.name].summary)
        gone = set(before.lang.languages) - set(self.config.lang.languages)
        for name, artifact in self.artifacts.items():
            if gone and isinstance(artifact, Artifacts):
                kept = {language: one for language, one in artifact.by_language.items() if language not in gone}
                self.artifacts[name] = Artifacts(kept)

    def plan(self, stages: Sequence[Stage]) -> Mapping[str, Artifact | Artifacts]:
        """Every artifact that is wanted, made or not, without making any; stages that come of what there is are left out."""
        for stage in stages:
            if stage.name not in self.artifacts and stage.wanted(self.config):
                languages = stage.languages(self.config) if stage.per_language else [None]
                made = {language: self._planned(stage, language)[1] for language in languages}
                self.artifacts[stage.name] = (
                    Artifacts({str(language): one for language, one in made.items()})
                    if stage.per_language
                    else made[None]
                )
        return self.artifacts

    def _all_languages(self, stage: Stage) -> Artifacts:
        languages, workers = stage.languages(self.config), self.config.workers
        if stage.fill is not None and workers.share and self.device:
            for language in languages:  # what there is to take in each, before waiting in any
                self._share(stage, language, waits=False)
        first = workers.number % len(languages)  # several workers seal several languages, not all of them one
        made = {language: self._one(stage, language) for language in [*languages[first:], *languages[:first]]}
        return Artifacts({language: made[language] for language in languages})

    def _inputs(self, stage: Stage, language: str | None) -> dict[str, Artifact | Artifacts]:
        inputs: dict[str, Artifact | Artifacts] = {}
        for need in (*stage.needs, *stage.also(self.config)):
            name, _, other = need.partition("@")
            if name not in self.artifacts:  # its stage was not wanted
                continue
            artifact = self.artifacts[name]
            wanted = other or language
            if isinstance(artifact, Artifacts) and wanted is not None:
                if wanted not in artifact.by_language:  # its stage has nothing to do in this language
                    continue
                artifact = artifact.by_language[wanted]
            inputs[need] = artifact
        return inputs

    def _one(self, stage: Stage, language: str | None) -> Artifact:
        artifact = self._found_or_made(stage, language)
        stage.accept(self.config, artifact.summary)
        return artifact

    def _found_or_made(self, stage: Stage, language: str | None) -> Artifact:
        label, output, inputs = self._planned(stage, language)
        if output.sealed:
            output.verify()
            self.progress.say(f"{label}: found{counts.said(output.summary)} ({output.path.name})")
            for line in counts.warned(output.summary):
                self.progress.say(f"{label}: ! {line}")
            return output
        if not self.device and work.takes_device(stage.name, self.config):
            raise UserError(
                f"{label}: is not made yet ({output.path.name}), and this job of the queue has no GPU; the same command makes it"
            )
        if stage.fill is not None and self.config.workers.share:
            self._share(stage, language, waits=True)
        with output.lock(waiting=lambda: self._waiting(stage, label, output)):
            if output.sealed:
                return output
            output.begin()
            job = self._job(label, inputs, output, language, self._tracker(stage))
            self._make(stage, job)
        mirror.tell(stage, job, job.tracker)  # W&B may take minutes, in which others have what they wait for
        self.trackers.end(stage.name)
        return output

    def _tracker(self, stage: Stage) -> Tracker:
        kind = mirror.job_type(stage)
        return SILENCE if kind is None else self.trackers.of(kind, mirror.METRICS.get(kind))

    def _planned(self, stage: Stage, language: str | None) -> tuple[str, Artifact, dict[str, Artifact | Artifacts]]:
        """(what progress lines call it, the artifact, what it is made from)."""
        label = f"{stage.name}/{language}" if language is not None else stage.name
        slice_of_stage: dict[str, Any] = stage.config(self.config)
        if language is not None:
            own = stage.of_language(self.config, language)
            slice_of_stage = {**slice_of_stage, **own, "language": language}
        inputs = self._inputs(stage, language)
        words = words_of(stage, self.config, language)
        output = self.store.artifact(stage.folder or stage.name, stage.version, slice_of_stage, inputs, words)
        return label, output, inputs

    def _job(
        self,
        label: str,
        inputs: dict[str, Artifact | Artifacts],
        output: Artifact,
        language: str | None,
        tracker: Tracker = SILENCE,
        shared: bool = False,
        waits: bool = True,
    ) -> Job:
        progress = Progress(self.progress.console, notes=output.path / PROGRESS)
        terms = Terms(self.config.workers.lease, shared, waits)
        return Job(self.config, label, inputs, output, progress, tracker, self.engines, language, terms)

    def _share(self, stage: Stage, language: str | None, waits: bool) -> None:
        """Make what others have not taken of an artifact."""
        label, output, inputs = self._planned(stage, language)
        with output.lock(waiting=lambda: self._waiting(stage, label, output)):
            if output.sealed:
                return
            output.begin()
        assert stage.fill is not None
        started = time.monotonic()
        stage.fill(self._job(label, inputs, output, language, shared=True, waits=waits))
        self._spent[output.address] = self._spent.get(output.address, 0.0) + time.monotonic() - started
        self._has_shared = True

    def _waiting(self, stage: Stage, label: str, output: Artifact) -> None:
        """Somebody else holds an artifact's lock: one of several that do the same work leaves what only one can make.

        For what is made per language it waits where work to share follows: those stages take moments, unlike training.
        """
        moments = stage.per_language and self._shares_later
        if self.config.workers.number and self._has_shared and not moments:
            raise NothingToShare(f"{label}: another worker is making it, and there is nothing to share; leaving")
        self.progress.say(f"{label}: another run is making it; waiting ({output.path.name})")

    def _make(self, stage: Stage, job: Job) -> None:
        memory.begin()
        started = time.monotonic() - self._spent.get(job.output.address, 0.0)
        with refusals.told(job.output.path):
            if stage.fill is not None and not self.config.workers.share:
                stage.fill(job)
            summary = stage.run(job)
            seconds = time.monotonic() - started
            job.output.seal(summary, seconds, memory.peaks())
        self.progress.say(f"{job.label}: made in {seconds:.1f} s{counts.said(summary)} ({job.output.path.name})")
