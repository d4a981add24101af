"""`croco doctor model=... reward=... method=...`: what can be known to go wrong before the hours are spent.

Takes the same words as `croco.run`. It makes the prompts (a run finds them) and looks at a few of each language: their token ids,
a step of training on them, a greedy answer, and their rewards. Exit code 0 when nothing failed, 1 when something did, 2 for bad
input. Without the GPU that a run needs, it checks what needs none, and says what it could not. `--offline`: as on a node
without a network, with what `croco fetch` has brought.

`hardware=8x80GB`: no check of this machine, but a plan for that one (croco/jobs/plan.py): what each stage holds where, how long
it takes, what it writes; exit code 2 where something cannot fit. `rates.NAME=VALUE` replaces a rate that it reckons with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from croco.cli import commandline, planned
from croco.config import CONF  # registers the resolvers that conf/ uses, too
from croco.errors import UserError


def command(arguments: Sequence[str]) -> int:
    """Print every finding, or the plan; exit code 0, 1 where a check fails, 2 for bad input."""
    try:
        asked = planned.parted(arguments)
    except UserError as error:
        commandline.say(error)
        return 2

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def main(composed: DictConfig) -> None:
        from croco.jobs import checkup, plan  # heavy; `--help` and `--cfg` never need them

        sys.exit(checkup.run(composed) if asked.hardware is None else plan.run(composed, asked.hardware, asked.rates))

    return commandline.run("doctor", main, asked.run)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
