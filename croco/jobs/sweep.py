"""A sweep: its jobs do not take one another down, and at the end one table says what became of each.

Departures from Hydra 1.3's basic sweep, which leaves a failed job's log empty, shows the first failure only, and is ended by
`sys.exit` in a job: jobs keep their own outcome (croco/jobs/outcomes.py), failed ones return nothing instead of raising, and
the table is made from the outcomes, also of jobs that ran in other processes or on other machines.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from croco.artifacts.files import write_atomically
from croco.cli import commandline
from croco.config import LoggerConfig
from croco.jobs import outcomes, summary
from croco.jobs.board import Board
from croco.jobs.outcomes import DONE, Outcome
from croco.show import secrets, tables
from croco.tracking import of_sweep

log = logging.getLogger(__name__)
SUMMARY, COMPARISON = "summary.md", "comparison.md"
BASIC = "BasicSweeper"  # the sweeper that makes no use of what its jobs return


class Sweep:
    """The sweep that this process drives."""

    def __init__(
        self, folder: Path, total: int | None, submitted: bool, logger: LoggerConfig | None = None, root: Path = Path()
    ) -> None:
        self.folder, self.total, self.submitted, self.logger, self.root = folder, total, submitted, logger, root
        self.board = Board(self._table)

    def _table(self) -> tables.Table:
        """Of the jobs so far."""
        jobs = outcomes.of_sweep(self.folder)
        rows = [(words, state, metric) for words, metric, state, *_ in summary.table("", jobs).rows] if jobs else []
        return tables.Table(f"Sweep: {self.said()}", ("job", "state", "metric"), rows)

    def counts(self) -> tuple[Counter[str], int]:
        """Jobs by state, and how many there are to be; a folder may hold those of an earlier sweep, too."""
        states = Counter(outcome.state for outcome in outcomes.of_sweep(self.folder))
        return states, max(self.total or 0, sum(states.values()))

    def said(self) -> str:
        """`3 of 6 jobs done, 1 failed`."""
        states, total = self.counts()
        rest = [f"{count} {state}" for state, count in sorted(states.items()) if state != DONE]
        return ", ".join([f"{states[DONE]} of {total} jobs done", *rest])

    def close(self) -> int:
        """Show and keep the table; returns the exit code: 0 when every job is done."""
        self.board.hide()
        jobs = outcomes.of_sweep(self.folder)
        states, total = self.counts()
        if jobs:
            made = summary.table(self.folder.name, jobs)
            write_atomically(self.folder / SUMMARY, "\n\n".join([tables.markdown(made), *summary.traces(jobs)]) + "\n")
            print("\n".join([*summary.last_lines(jobs), tables.text([made]).rstrip()]))
            self._mirror(made, states, self._compare(jobs))
        print(f"sweep: {self.said()}; kept in {self.folder / SUMMARY}")
        if states[DONE] == total:
            return 0
        print("sweep: the same command runs what is missing")
        return 1

    def _compare(self, jobs: list[Outcome]) -> dict[str, float]:
        """The jobs' results against one another, shown and kept; a sweep that compares nothing says nothing."""
        from croco.jobs import experiments  # heavy

        if not any(job.state == DONE and job.report for job in jobs):
            return {}
        try:
            made = experiments.collect(self.folder.name, self.folder)
            print(experiments.conclude(made, self.folder))
            return experiments.numbers(made)
        except Exception as error:  # the jobs are done, whatever becomes of their table
            log.warning("the jobs could not be compared (%s)", error, exc_info=True)
            return {}

    def _mirror(self, jobs: tables.Table, states: Counter[str], numbers: dict[str, float]) -> None:
        """The sweep's own W&B run, where W&B is wanted."""
        if self.logger is None:
            return
        try:
            page = (self.folder / COMPARISON).with_suffix(".html")
            counts = {f"jobs/{state}": count for state, count in states.items()}
            if said := of_sweep.tell(self.folder, page, jobs, counts | numbers, self.logger, self.root / "wandb"):
                print(said)
        except Exception as error:
            log.warning("W&B: the sweep could not be told (%s); what it made is on disk", error)

    def interrupted(self) -> str:
        """One line for who pressed Ctrl-C."""
        self.board.hide()
        queued = "; jobs that were submitted go on in the queue" if self.submitted else ""
        return f"sweep interrupted: {self.said()}{queued}; the same command goes on where it stopped"


current: Sweep | None = None
"""Of this process; jobs in other processes have none."""
logs: Path | None = None
"""Where this process's run has its log, from before the first file of it."""


class Remember(Callback):
    """Hydra's callback (conf/config.yaml): a run or a sweep begins."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        global logs
        _refuse_secrets(config)
        logs = Path(config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hold on to the sweep's folder, so that jobs on other machines and a second call of the same words find it."""
        global current
        _refuse_secrets(config)
        submitted = "submitit" in str(config.hydra.launcher.get("_target_"))
        folder = str(config.hydra.sweep.dir)
        # Its jobs are composed anew, from fewer words, and would make another address of them.
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.sweep.dir = folder
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={json.dumps(folder, ensure_ascii=False)}")
        current = Sweep(Path(folder), _total(config), submitted, _logger(config), Path(config.paths.artifacts))
        if "SlurmLauncher" in str(config.hydra.launcher.get("_target_")):
            _in_parts()
        current.board.show(str(config.hydra.launcher.get("_target_")))


def _in_parts() -> None:
    """Submit by our launcher, where there is what it submits with; Hydra says where there is not."""
    if importlib.util.find_spec("submitit") is not None:
        from croco.jobs import slurm  # heavy

        slurm.stand_in()


def _refuse_secrets(config: DictConfig) -> None:
    """End the process before Hydra writes its files where a setting, from whatever file, holds a secret.

    As written, and as resolved where it can be. By `SystemExit`: Hydra makes warnings of a callback's exceptions.
    """
    held = list(secrets.found(OmegaConf.to_container(config)))
    with suppress(OmegaConfBaseException):
        held += secrets.found(
            OmegaConf.to_container(
                OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"]), resolve=True
            )
        )
    for key, kind in held:
        commandline.say(secrets.refusal(key, kind))
        sys.exit(2)


def _logger(config: DictConfig) -> LoggerConfig | None:
    """Its W&B settings, with the group that its jobs have; None where they cannot be told before a job is composed."""
    try:
        said: Any = OmegaConf.to_container(config.logger, resolve=True)
        group = said["group"] or config.hydra.runtime.choices.get("experiments")
        return LoggerConfig(**{**said, "group": group or Path(str(config.hydra.sweep.dir)).name})
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError):
        return None


def _words(config: DictConfig) -> list[str]:
    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    return [*words, *config.hydra.overrides.task]


def _total(config: DictConfig) -> int | None:
    """The number of combinations; None where only the sweeper can tell."""
    if BASIC not in str(config.hydra.sweeper.get("_target_")):
        return None
    lengths: dict[str, int] = {}
    try:
        for override in OverridesParser.create().parse_overrides(_words(config)):
            sweeps = override.is_sweep_override()
            lengths[override.get_key_element()] = len(list(override.sweep_string_iterator())) if sweeps else 1
    except HydraException:
        return None
    total = 1
    for length in lengths.values():
        total *= length
    return total
