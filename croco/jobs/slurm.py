"""Hydra's launcher for SLURM, which submits a sweep in parts (parts.py), each behind those it needs.

Departures from hydra-submitit-launcher 1.2, in whose place it stands: that one submits one array, each of whose tasks asks for
what the hungriest stage needs, from a job's first prompt to its report.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from croco.cli import commandline, signals
from croco.config import Config, strict
from croco.errors import UserError
from croco.jobs import outcomes, parts, submission
from croco.jobs.parts import Last, Part, Resources, Task
from croco.show import tables

log = logging.getLogger(__name__)
NAME = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
"""The class that conf/hydra/launcher/slurm.yaml names. Hydra takes launchers from that package alone."""
OWN = ("submitit_folder", "max_num_timeout", "in_parts", "workers", "without_gpu")
"""Of the launcher's settings, those that are no option of the queue."""
PLAIN = (
    *("cpus_per_task", "gpus_per_node", "mem_gb", "name", "nodes", "stderr_to_stdout", "tasks_per_node"),
    "timeout_min",
)
"""Options that submitit has for every cluster; the others are SLURM's."""
OF_GPUS = ("gpus_per_node", "gpus_per_task", "num_gpus", "gres", "cpus_per_gpu", "mem_per_gpu")
JOB = "job-"  # what stands in the queue for a job of the sweep itself, before its number
POLL_SECONDS = 1.0


def stand_in() -> None:
    """From here on Hydra makes this launcher where a configuration names submitit's."""
    Plugins.instance().class_name_to_class[NAME] = SlurmLauncher


@dataclass
class Submitted:
    """What stands in the queue."""

    called: str
    jobs: list[Any]
    """submitit's."""
    id: str
    """SLURM's, of the job or the array."""
    after: tuple[int, ...] = ()
    failure: str | None = None
    """Why it, or what it stands behind, failed; None where it did not."""
    returned: list[JobReturn] = field(default_factory=list)


class SlurmLauncher(Launcher):
    """Submits, waits, and says of what failed who is not run for it."""

    def __init__(self, **params: Any) -> None:
        self.params: dict[str, Any] = {
            k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in params.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def __call__(self, words: Sequence[str], number: int, task: Task, singletons: dict[type, Singleton]) -> JobReturn:
        """A job or a part, in the queue.

        Raises:
            Exception: of a part whatever made it fail, so that what stands behind it is not run.
        """
        import submitit

        Singleton.set_state(singletons)
        setup_globals()
        config = self._composed(words)
        with open_dict(config.hydra.job):
            config.hydra.job.id, config.hydra.job.num = submitit.JobEnvironment().job_id, number
        parts.current = task
        signal.signal(signal.SIGTERM, _told_to_end)
        made = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if task.makes and made.status == JobStatus.FAILED:
            raise made._return_value
        return made

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """The same again, when it is queued again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *args, **kwargs)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit all, say what, and wait."""
        sweep = Path(str(self.config.hydra.sweep.dir))
        sweep.mkdir(parents=True, exist_ok=True)
        settled = [self._settled(words) for words in job_overrides]
        cut, last = self._cut(settled)
        most = int(self.params.get("array_parallelism") or 64)
        planned = [one for one in settled if one is not None]
        if planned:
            print(tables.text([submission.plan(planned), parts.table(cut, last, self._most(most))]), flush=True)
        queued: list[Submitted] = []
        try:
            for part in cut:
                queued.append(self._submit_part(part, job_overrides[part.job], queued, most))
            queued += self._submit_jobs(job_overrides, last, queued, initial_job_idx, most)
        except BaseException:
            _cancel(queued)  # half a sweep is nothing to leave in a queue
            raise
        log.info("SLURM: %s", ", ".join(f"{one.called} is {one.id}" for one in queued))
        self._wait(queued)
        numbered = zip(queued[len(cut) :], job_overrides, strict=True)
        return [self._returned(one, words, initial_job_idx + n) for n, (one, words) in enumerate(numbered)]

    def _composed(self, words: Sequence[str]) -> DictConfig:
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(words))

    def _settled(self, words: Sequence[str]) -> Config | None:
        """A job's configuration as it will address what it makes; None where it is refused, which the job says itself."""
        from croco.jobs.job import settled

        config = self._composed(words)
        with open_dict(config):
            del config["hydra"]
        try:
            return settled(strict(config))
        except Exception as error:
            log.info("not planned: %s (%s)", " ".join(words), error)
            return None

    def _cut(self, configs: Sequence[Config | None]) -> tuple[list[Part], list[Last]]:
        """The parts; none, where none are wanted or what is to be made cannot be told before."""
        whole = [Last(parts.of_training(one) if one else Resources(device=True), ()) for one in configs]
        if not self.params.get("in_parts", True):
            return [], whole
        try:
            return parts.cut(configs)
        except UserError as error:
            commandline.say(f"the sweep cannot be cut into parts, and its jobs are submitted whole ({error})")
            return [], whole

    def _most(self, most: int) -> int:
        """Workers of one part."""
        return min(int(self.params.get("workers") or most), most)

    def _submit_part(self, part: Part, words: Sequence[str], queued: list[Submitted], most: int) -> Submitted:
        count = part.workers(self._most(most))
        calls = []
        for worker in range(count):
            folder = part.name if count == 1 else f"{part.name}.{worker}"
            own = [*words, f"hydra.sweep.subdir={outcomes.PARTS}/{folder}"]
            calls.append((own, part.job, Task(part.makes, part.resources.device, worker), Singleton.get_state()))
        return self._submit(part.name, calls, part.resources, part.after, queued, most)

    def _submit_jobs(
        self, overrides: Sequence[Sequence[str]], last: Sequence[Last], queued: list[Submitted], first: int, most: int
    ) -> list[Submitted]:
        """The jobs themselves; where none stands behind a part, as one array."""
        singletons = Singleton.get_state()
        calls = [
            (list(words), first + number, Task(device=one.resources.device), singletons)
            for number, (words, one) in enumerate(zip(overrides, last, strict=True))
        ]
        if len(calls) > 1 and len({one.resources for one in last}) == 1 and not any(one.after for one in last):
            array = self._submit("jobs", calls, last[0].resources, (), [], most)
            return [Submitted(f"{JOB}{first + n}", [job], str(job.job_id)) for n, job in enumerate(array.jobs)]
        made: list[Submitted] = []
        for call, one in zip(calls, last, strict=True):
            made.append(self._submit(f"{JOB}{call[1]}", [call], one.resources, one.after, [*queued, *made], most))
        return made

    def _submit(
        self,
        called: str,
        calls: Sequence[tuple[Any, ...]],
        wants: Resources,
        after: tuple[int, ...],
        queued: Sequence[Submitted],
        most: int,
    ) -> Submitted:
        """One job of the queue, or an array of equal ones."""
        import submitit

        folder = self.params["submitit_folder"]
        timeouts = {"slurm_max_num_timeout": self.params.get("max_num_timeout", 20)}
        executor = submitit.AutoExecutor(cluster="slurm", folder=folder, **timeouts)
        before = [f"afterok:{queued[one].id}" for one in after]
        if wants.device and len(queued) >= most:  # so many at once, as of one array
            before.append(f"afterany:{queued[len(queued) - most].id}")
        executor.update_parameters(**self.options(wants, called, before))
        jobs = (
            executor.map_array(self, *zip(*calls, strict=True))
            if len(calls) > 1
            else [executor.submit(self, *calls[0])]
        )
        return Submitted(called, jobs, str(jobs[0].job_id).partition("_")[0], after)

    def options(self, wants: Resources, called: str, before: Sequence[str]) -> dict[str, Any]:
        """As submitit takes them: the launcher's, with what this job needs; what a person has typed of GPUs stands."""
        said = {key: value for key, value in self.params.items() if key not in OWN and not key.startswith("_")}
        said["name"] = f"{said.get('name') or 'croco'}-{called}"
        if not wants.device:
            said = {key: value for key, value in said.items() if key not in OF_GPUS}
            said |= {"nodes": 1, **(self.params.get("without_gpu") or {})}
        elif not self._typed():
            said |= {"nodes": wants.nodes, "gpus_per_node": wants.gpus or None}
        if before:
            own = said.get("dependency")
            said["dependency"] = ",".join([*([own] if own else []), *before])
            said["additional_parameters"] = {**(said.get("additional_parameters") or {}), "kill-on-invalid-dep": "yes"}
        return {key if key in PLAIN else f"slurm_{key}": value for key, value in said.items()}

    def _typed(self) -> bool:
        """Whether a person has said what GPUs a job gets."""
        words = [str(word).lstrip("+").partition("=")[0] for word in self.config.hydra.overrides.hydra]
        return any(f"hydra.launcher.{key}" in words for key in OF_GPUS)

    def _wait(self, queued: list[Submitted]) -> None:
        """Until all have ended, or stand behind what failed, of which it is said at once."""
        left = list(queued)
        while left:
            for one in list(left):
                failed = [queued[place] for place in one.after if queued[place].failure is not None]
                if failed:
                    one.failure = failed[0].failure
                    _cancel([one])  # where SLURM is not set to, it would wait for ever
                elif all(job.done() for job in one.jobs):
                    self._ended(one, queued)
                else:
                    continue
                left.remove(one)
            time.sleep(POLL_SECONDS if left else 0)

    def _ended(self, one: Submitted, queued: Sequence[Submitted]) -> None:
        for job in one.jobs:
            try:
                one.returned.append(job.results()[0])
            except Exception as error:
                one.failure = one.failure or self._why(one, error)
        if one.failure is not None and not one.called.startswith(JOB):
            commandline.say(f"{one.failure}; {_behind(queued, one)} in the queue stand behind it and are not run")

    def _why(self, one: Submitted, error: Exception) -> str:
        """In a line: what the part has written of it, else what submitit has."""
        folder = Path(str(self.config.hydra.sweep.dir)) / outcomes.PARTS
        for path in sorted(folder.glob(f"{one.called}*/{outcomes.NAME}")):
            told = outcomes.read(path)
            if told.failure is not None:
                return f"{one.called} failed ({told.failure}); its log: {path.parent}"
        return f"{one.called} failed ({(str(error).strip() or type(error).__name__).splitlines()[0]})"

    def _returned(self, one: Submitted, words: Sequence[str], number: int) -> JobReturn:
        """What Hydra's sweeper gets of a job; one that was not run is written down as failed."""
        if one.returned:
            return one.returned[0]
        config = self._composed(words)
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        folder.mkdir(parents=True, exist_ok=True)
        error = UserError(one.failure or "not run")
        there = folder / outcomes.NAME
        if not there.is_file() or outcomes.read(there).state in (outcomes.DONE, outcomes.RUNNING):
            outcomes.begin(folder, [str(word) for word in config.hydra.overrides.task], number).failed(error)
        made = JobReturn()
        made.status, made.return_value = JobStatus.COMPLETED, None
        if "BasicSweeper" not in str(self.config.hydra.sweeper.get("_target_")):
            made.status, made.return_value = JobStatus.FAILED, error
        return made


def _told_to_end(number: int, frame: Any) -> None:
    """What SLURM takes a node from hands over and is queued again, as at the end of its time; what a person cancels ends."""
    if _is_preempted():
        os.kill(os.getpid(), getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
        return
    raise signals.Told("told to end (SIGTERM)")


def _is_preempted() -> bool:
    """By SLURM's word; submitit's own handler, in whose place this stands, takes no notice of either."""
    job = os.environ.get("SLURM_JOB_ID", "")
    try:
        said = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    told = dict(re.findall(r"(\w+)=(\S*)", said))
    return told.get("JobState") == "PREEMPTED" or told.get("PreemptTime", "None") not in ("None", "Unknown", "(null)")


def _cancel(queued: Sequence[Submitted]) -> None:
    for one in queued:
        for job in one.jobs:
            with suppress(Exception):  # it has ended, or the queue is away: it ends by its dependency
                job.cancel(check=False)


def _behind(queued: Sequence[Submitted], failed: Submitted) -> int:
    """How many stand behind one, directly or not."""
    behind = {queued.index(failed)}
    for place, one in enumerate(queued):
        if behind & set(one.after):
            behind.add(place)
    return len(behind) - 1
