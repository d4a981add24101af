"""torch's launcher, which ends with the process that called it, and its workers with it."""

from __future__ import annotations

import os

from croco.artifacts import processes

CALLER = "CROCO_CALLER"
"""The process that this one should end with; without it, as under SLURM, whatever started it."""


def main() -> None:
    caller = os.environ.pop(CALLER, None)
    processes.end_with_parent(None if caller is None else int(caller))
    from torch.distributed.run import main as launch

    launch()


if __name__ == "__main__":
    main()
