"""The study's jobs: each arm is one sweep over its seeds, two arms at a time; what is there already is found, not made again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.study import arms, builds, noise
from benchmarks.study.arms import Arm


def sweep(arm: Arm, artifacts: Path) -> Path:
    """Where an arm's sweep keeps its outcomes."""
    return artifacts / "sweeps" / f"study-{arm.name}"


def everything(
    chosen: Sequence[Arm], artifacts: Path, at_once: int, common: Sequence[str] = arms.COMMON, also: Sequence[str] = ()
) -> list[str]:
    """Run the arms with the words `common` to them, and `also` some that hardware asks for; returns the names of those of which
    a job failed."""
    jobs = sum(len(arm.seeds) for arm in chosen)
    failed, done, started = [], 0, time.monotonic()
    if common == arms.COMMON:
        for share in noise.SHARES:
            noise.write(artifacts, share)
    for name in builds.BUILDS.keys() & {arm.name for arm in chosen}:
        builds.BUILDS[name](artifacts)
    with ThreadPoolExecutor(at_once) as pool:
        made = {pool.submit(_run, arm, artifacts, [*common, *arm.words, *also]): arm for arm in chosen}
        for future in as_completed(made):
            arm, code = made[future], future.result()
            done += len(arm.seeds)
            spent = time.monotonic() - started
            left = spent / done * (jobs - done)
            said = "" if code == 0 else f", FAILED (exit code {code}; {_log(arm, artifacts)})"
            print(
                f"{arm.name}: {len(arm.seeds)} seeds{said}; {done} of {jobs} jobs, {spent:,.0f} s, {left:,.0f} s left",
                flush=True,
            )
            if code:
                failed.append(arm.name)
    return failed


def _log(arm: Arm, artifacts: Path) -> Path:
    return artifacts / "logs" / f"study-{arm.name}.log"


def _run(arm: Arm, artifacts: Path, of_arm: Sequence[str]) -> int:
    log = _log(arm, artifacts)
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [
        *of_arm,
        f"seed={','.join(map(str, arm.seeds))}",
        f"paths.artifacts={artifacts}",
        f"hydra.sweep.dir={sweep(arm, artifacts)}",
    ]
    with log.open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "croco.run", "-m", *words]
        # A thread a job: two jobs with torch's own threads would wait for one another.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False).returncode
