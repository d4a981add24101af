"""`croco run`, `python -m croco.run`: compose the configuration, check it, make what is missing of the chain, return the metric.

Exit codes: 0 done, 1 a defect (with its traceback in the log), 2 bad input (one line says what to change), 130 interrupted
(the same command goes on).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from croco.cli import commandline
from croco.config import CONF  # registers the resolvers that conf/ uses, too


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(composed: DictConfig) -> float | None:
    """One job; the metric is what sweepers maximise."""
    from croco.jobs.job import run_job  # heavy; `--help` and `--cfg` never need it

    return run_job(composed)


def command(arguments: Sequence[str]) -> int:
    """Words that are wrong are said before Hydra composes; returns the exit code."""
    return commandline.run("run", main, arguments)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
