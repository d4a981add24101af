"""Walks the stages in order: address, skip what is sealed, run what is missing, seal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from croco import costs, mirror
from croco.config import Config
from croco.engines import factory
from croco.engines.holder import EngineHolder
from croco.progress import Progress
from croco.stages.base import Job, Stage
from croco.store import PROGRESS, Artifact, Artifacts, Store
from croco.tracking import Tracker, Trackers


@dataclass
class Chain:
    """One run of the chain; `artifacts` fills up as it goes."""

    config: Config
    store: Store
    progress: Progress
    trackers: Trackers
    artifacts: dict[str, Artifact | Artifacts] = field(default_factory=dict)
    engines: EngineHolder = field(default_factory=EngineHolder)

    def run(self, stages: Sequence[Stage]) -> Mapping[str, Artifact | Artifacts]:
        """Make every wanted artifact that is not there yet; returns all of them by stage name."""
        if self.config.method.refresh_every is not None and factory.have_room_together(self.config.engine):
            self.engines.most = 2  # generator and scorer, both wanted in every round
        try:
            self._walk(stages)
        finally:
            self.engines.close()
        return self.artifacts

    def _walk(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if stage.name in self.artifacts or not stage.wanted(self.config):
                continue
            self.artifacts[stage.name] = self._all_languages(stage) if stage.per_language else self._one(stage, None)
            self._walk(stage.more(self.config, self.artifacts))

    def _all_languages(self, stage: Stage) -> Artifacts:
        return Artifacts({language: self._one(stage, language) for language in self.config.lang.languages})

    def _inputs(self, stage: Stage, language: str | None) -> dict[str, Artifact | Artifacts]:
        inputs: dict[str, Artifact | Artifacts] = {}
        for need in (*stage.needs, *stage.also(self.config)):
            name, _, other = need.partition("@")
            if name not in self.artifacts:  # its stage was not wanted
                continue
            artifact = self.artifacts[name]
            if isinstance(artifact, Artifacts) and (other or language) is not None:
                artifact = artifact.by_language[other or str(language)]
            inputs[need] = artifact
        return inputs

    def _one(self, stage: Stage, language: str | None) -> Artifact:
        artifact = self._found_or_made(stage, language)
        stage.accept(self.config, artifact.summary)
        return artifact

    def _found_or_made(self, stage: Stage, language: str | None) -> Artifact:
        label = f"{stage.name}/{language}" if language is not None else stage.name
        slice_of_stage: dict[str, Any] = stage.config(self.config)
        if language is not None:
            slice_of_stage = {**slice_of_stage, "language": language}
        inputs = self._inputs(stage, language)
        output = self.store.artifact(stage.folder or stage.name, stage.version, slice_of_stage, inputs)
        if output.sealed:
            self.progress.say(f"{label}: found ({output.address})")
            return output
        with output.lock(
            waiting=lambda: self.progress.say(f"{label}: another run is making it; waiting ({output.address})")
        ):
            if not output.sealed:
                output.begin()
                progress = Progress(self.progress.console, notes=output.path / PROGRESS)
                kind = mirror.job_type(stage)
                tracker = Tracker() if kind is None else self.trackers.of(kind, mirror.METRICS.get(kind))
                job = Job(self.config, label, inputs, output, progress, tracker, self.engines, language)
                self._make(stage, job)
        return output

    def _make(self, stage: Stage, job: Job) -> None:
        costs.begin()
        started = time.monotonic()
        summary = stage.run(job)
        seconds = time.monotonic() - started
        job.output.seal(summary, seconds, costs.peaks())
        rows = f", {summary['rows']:,} rows" if "rows" in summary else ""
        self.progress.say(f"{job.label}: made in {seconds:.1f} s{rows} ({job.output.address})")
        mirror.tell(stage, job, job.tracker)
        self.trackers.end(stage.name)
