"""One job of `croco.run`, from the composed configuration to the metric."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from croco import tracking
from croco.artifacts import addresses, refusals, store
from croco.cli import commandline, signals
from croco.config import Config, LoggerConfig, strict
from croco.config.worlds import reads_reward
from croco.errors import UserError
from croco.evals.comparing.stored import NOT_RESULTS, SEEDS
from croco.exchange import hub
from croco.jobs import ending, english, lacking, outcomes, parts, submission
from croco.jobs.asks import ahead
from croco.jobs.chain import Chain, NothingToShare
from croco.jobs.preflight import preflight
from croco.jobs.sweep import BASIC
from croco.language import clock
from croco.models import commits
from croco.show.progress import Progress
from croco.stages.base import languages_of, model_of

log = logging.getLogger(__name__)


def run_job(composed: DictConfig) -> float | None:
    """Run the chain and keep what became of it; returns the metric.

    Bad input ends the process with code 2. In a sweep nothing but an interrupt (or a cluster's time limit) ends it: a job that
    failed has no metric, and is raised to sweepers that count failures themselves.
    """
    settings = HydraConfig.get()
    sweep = settings.mode == RunMode.MULTIRUN
    folder = Path(settings.runtime.output_dir)
    outcome = outcomes.begin(folder, _words(settings.overrides.task), settings.job.num if sweep else None)
    progress = Progress()
    try:
        report = execute(composed, progress)
    except NothingToShare as left:
        progress.say(str(left))
        outcome.left()
        return None
    except KeyboardInterrupt:
        outcome.interrupted()
        if sweep:
            raise
        signals.say(f"{signals.said()}; the same command goes on where it stopped")
        sys.exit(signals.code())
    except (Exception, SystemExit) as error:
        if _told_to_stop(error):
            outcome.interrupted()
            raise
        if isinstance(error, BrokenPipeError) and commandline.unread():
            outcome.interrupted()
            commandline.say(commandline.LEFT_ALONE)
            sys.exit(commandline.UNREAD)
        outcome.failed(error)
        log.exception("bad input" if isinstance(error, UserError) else "the job failed")
        if parts.current.makes:
            raise RuntimeError(outcome.failure) from error
        if sweep:
            progress.say(f"job {outcome.number} failed ({outcome.failure}); its log: {folder / settings.job.name}.log")
            if BASIC in str(settings.sweeper.get("_target_")):
                return None
            raise RuntimeError(outcome.failure) from error
        if isinstance(error, UserError):
            commandline.say(error)
            sys.exit(2)
        raise
    if report is None:
        outcome.left()
        return None
    metric = report.summary.get("metric")
    outcome.done(metric, report.path)
    return metric


def _words(overrides: Any) -> list[str]:
    """As they were typed; one that asks for a variable which is not set is told of when the configuration is checked."""
    words: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(word) for word in words]


def _told_to_stop(error: BaseException) -> bool:
    """Whether the cluster's launcher ends the job, which it has queued again."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, SystemExit) and str(frames[-1].f_globals.get("__name__")).startswith("submitit.")


def settled(config: Config) -> Config:
    """A configuration as it addresses what it makes: hub names by commit, templates with the artifacts' date."""
    clock.begin(config.date, Path(config.paths.artifacts))
    return measured_alone(commits.pinned(config))


def execute(composed: DictConfig, progress: Progress) -> store.Artifact | None:
    """The job itself: returns the report, or None of a part of a job; raises what goes wrong."""
    config = strict(composed)
    with refusals.told(Path(config.paths.artifacts)):
        return _made(config, composed, progress)


def _made(config: Config, composed: DictConfig, progress: Progress) -> store.Artifact | None:
    task = parts.current
    preflight(config, task.device)
    config = task.of(submission.sharing(settled(config)))
    resolved: Any = OmegaConf.to_container(composed, resolve=True)
    root = Path(config.paths.artifacts)
    run_id = addresses.of_run({**resolved, "workers": None})
    name = (
        f"{Path(config.model.path).name}-{'-'.join(config.lang.languages)}-{config.pairing.scope}-{config.method.name}"
    )
    artifact_store = store.Store(root, {"run": resolved, "seed": config.seed})
    for note in lacking.notes(config):
        progress.say(note)
    for warning in ahead(config, artifact_store):
        progress.say(f"warning: {warning}")
    trackers = tracking.Trackers(_told(config), root / "wandb", run_id, _called(config), resolved)
    exit_code = 1
    try:
        from croco.stages import stages

        if reads_reward(config):
            config = english.prepared(config, artifact_store, progress, trackers)
        chain = Chain(config, artifact_store, progress, trackers, device=task.device)
        artifacts = chain.run(parts.needed(stages(), config, task.makes) if task.makes else stages())
        exit_code = 0
    finally:
        trackers.close(exit_code)
        if trackers.hint:
            progress.say(trackers.hint)
    if task.makes:
        return None
    report = artifacts["report"]
    assert isinstance(report, store.Artifact)
    _show(artifacts, root, progress)
    if config.evals.tuned is None:
        _to_hub(config, report, name, progress)
    return report


def measured_alone(config: Config) -> Config:
    """With `method=none` the adapter is what is measured, and its base the policy without it."""
    if config.method.trains_on != "nothing":
        return config
    evals = replace(config.evals, tuned=config.model.adapter)
    return replace(config, evals=evals, model=replace(config.model, adapter=None))


def _to_hub(config: Config, report: store.Artifact, name: str, progress: Progress) -> None:
    """The folders with their cards, and the upload if it is wanted; the run is done, so nothing here ends it."""
    try:
        exported = hub.export(report)
    except Exception as error:
        log.warning("hub: the cards could not be made", exc_info=True)
        progress.say(f"warning: hub: the cards could not be made ({refusals.of(error, report.root) or error})")
        return
    cards = (
        folder / "README.md" for folder in (exported.model, exported.dataset, exported.reward) if folder is not None
    )
    progress.say(f"cards: {', '.join(map(str, cards))}")
    for line in hub.push(config.push, exported, name) if config.push.hub else ():
        progress.say(line)


def _told(config: Config) -> LoggerConfig:
    """With the experiment or the sweep as the group, and what runs are told apart by as tags, beside those that were given."""
    group = config.logger.group
    if group is None and HydraConfig.initialized():
        settings = HydraConfig.get()
        swept = Path(settings.sweep.dir).name if settings.mode == RunMode.MULTIRUN else None
        group = settings.runtime.choices.get("experiments") or swept
    own = [Path(config.model.path).name, config.method.name, config.pairing.scope, config.source.kind]
    return replace(config.logger, group=group, tags=[*config.logger.tags, *own, *config.lang.languages])


def _called(config: Config) -> str:
    """What W&B calls the job: method, languages, pairs, policy, and the single settings that were typed."""
    own = [config.method.name, languages_of(config), config.pairing.scope, model_of(config)]
    typed = _words(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    for key, _, value in (word.lstrip("+~").partition("=") for word in typed):
        if key == "seed" or ("." in key and key.partition(".")[0] not in NOT_RESULTS):
            own.append(f"{key if key in SEEDS else key.rpartition('.')[2]}={value}")
    return " ".join(own)


def _show(artifacts: Mapping[str, store.Artifact | store.Artifacts], root: Path, progress: Progress) -> None:
    report, training = artifacts["report"], artifacts["training"]
    assert isinstance(report, store.Artifact)
    progress.say(ending.results(artifacts) or "nothing was evaluated (evals=none)")
    for line in ending.lines(report, str(training.summary["verdict"]), root):
        progress.say(line)
