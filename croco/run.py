"""`python -m croco.run`: compose the configuration, check it, make what is missing of the chain, return the metric.

Exit codes: 0 done, 1 a defect (with its traceback in the log), 2 bad input (one line says what to change), 130 interrupted
(the same command goes on).
"""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig

import croco.config  # noqa: F401 - registers the resolvers that conf/ uses


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(composed: DictConfig) -> float | None:
    """One job; the metric is what sweepers maximise."""
    from croco.job import run_job  # heavy; `--help` and `--cfg` never need it

    return run_job(composed)


if __name__ == "__main__":
    from croco import commandline

    sys.exit(commandline.run(main, sys.argv[1:]))
