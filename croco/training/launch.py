"""A training run: in this process, or spread over several that this one starts and watches."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from croco.artifacts import refusals
from croco.config import Config, seeds
from croco.engines.holder import EngineHolder
from croco.errors import UserError
from croco.models import devices
from croco.show.progress import Progress
from croco.training import fit, handover, kept, metrics, torchrun
from croco.training.data import Examples, Material, Plan
from croco.training.verdict import judged

POLL = 0.5  # seconds between looks at what the processes have recorded
JOB = "job"

Log = Callable[[dict[str, float], int], None]


def train(
    config: Config,
    material: Material,
    folder: Path,
    store: Path,
    progress: Progress,
    log: Log,
    engines: EngineHolder | None = None,
) -> dict[str, Any]:
    """Train, resuming what `folder` holds; leaves `adapter/` and `metrics.jsonl`, returns what they come to.

    Args:
        store: the root of all artifacts, below which the reference's log-probs are shared.
        log: takes each step's metrics, and the step.
        engines: with whom the policy stays for the round that follows, where there is one.

    Raises:
        UserError: the run collapsed (`trainer.stop_collapsed`), or a process of it failed.
    """
    config = devices.placed(config)
    plan = Plan(len(material.train), config.method.batch_size, config.method.epochs, seeds.of_data(config))
    kept.steps(config.evals.checkpoints, material.start.step + plan.steps)  # a step there is not is said now
    first = fit.step_of(folder)
    with progress.task("training", plan.steps, "steps", done=first) as task:

        def note(row: metrics.Row) -> None:
            log({f"training/{name}": value for name, value in row.items() if name != "step"}, int(row["step"]))
            task.advance(1)

        if config.trainer.processes == 1:
            try:
                fit.fit(config, material, folder, store, note, progress.say, engines)
            finally:
                devices.vacate()
        else:
            _in_processes(config, material, folder, store, note, first)
    rows = metrics.read(folder)
    verdict, reasons = judged(rows)
    return {
        "steps": material.start.step + plan.steps,
        "tokens": plan.tokens(Examples.of(material.train).lengths[:, 1:].sum(1)),
        "verdict": verdict,
        "reasons": reasons,
        "last": rows[-1],
    }


def _in_processes(
    config: Config, material: Material, folder: Path, store: Path, note: Callable[[metrics.Row], None], first: int
) -> None:
    """Start the processes, and hand on what the first of them records until all have ended."""
    job = folder / JOB
    handover.write(job, config, material, folder, store)
    said = folder / "workers.log"
    with said.open("w", encoding="utf-8") as out:
        workers = subprocess.Popen(command(config, job), stdout=out, stderr=subprocess.STDOUT, env=environment(config))
        seen = material.start.step + first
        try:
            while True:
                running = workers.poll() is None
                rows = [row for row in metrics.read(folder) if row["step"] >= seen]
                for row in rows:
                    note(row)
                seen += len(rows)
                if not running:
                    break
                time.sleep(POLL)
        finally:
            if workers.poll() is None:
                workers.terminate()
                workers.wait()
            if (job / handover.PEAK).is_file():
                devices.child_held(int((job / handover.PEAK).read_text()))
            shutil.rmtree(job, ignore_errors=True)
    if workers.returncode != 0:
        lines = [line for line in said.read_text(encoding="utf-8").splitlines() if line.startswith("croco: ")]
        if not lines and not refusals.takes(folder):  # where its words would be
            raise refusals.no_room(folder)
        raise UserError(
            lines[0].removeprefix("croco: ") if lines else f"training: a process failed; its words are in {said}"
        )


def command(config: Config, job: Path) -> list[str]:
    """What starts all processes: torch's launcher, on every node of a SLURM job where there are several."""
    hardware = config.trainer
    launch = [sys.executable, "-m", "croco.training.torchrun", "--nproc-per-node", str(hardware.devices)]
    worker = ["-m", "croco.training.worker", str(job)]
    if hardware.num_nodes == 1:
        return [*launch, "--standalone", *worker]
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{socket.gethostname()}:{port}"]
    nodes = str(hardware.num_nodes)  # --overlap: the step that this process is holds all that the job has
    return ["srun", "--overlap", "--nodes", nodes, "--ntasks", nodes, *launch, "--nnodes", nodes, *meeting, *worker]


def environment(config: Config) -> dict[str, str]:
    """This process's, with the package importable however it was started, and one thread pool per process."""
    package = str(Path(__file__).parent.parent.parent)
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {torchrun.CALLER: str(os.getpid())} if config.trainer.num_nodes == 1 else {}
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": paths, **own}
