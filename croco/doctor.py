"""`croco doctor model=... reward=... method=...`: what can be known to go wrong before the hours are spent.

Takes the same words as `croco.run`. It makes the prompts (a run finds them) and looks at a few of each language: their token ids,
a step of training on them, a greedy answer, and their rewards. Exit code 0 when nothing failed, 1 when something did, 2 for bad
input. Without the GPU that a run needs, it checks what needs none, and says what it could not. `--offline`: as on a node
without a network, with what `croco fetch` has brought.

`hardware=8x80GB`: no check of this machine, but a plan for that one (croco/jobs/plan.py): what each stage holds where, how long
it takes, what it writes; exit code 2 where something cannot fit. `rates.NAME=VALUE` replaces a rate that it reckons with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig

from croco.cli import commandline
from croco.config import CONF  # registers the resolvers that conf/ uses, too
from croco.errors import UserError

OFFLINE = "--offline"
HARDWARE = "hardware="
OF_A_PLAN = (HARDWARE, "rates.")
"""Words that are none of a run's."""


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(composed: DictConfig) -> None:
    """Print every finding; exit code 0, 1 where a check fails, 2 for bad input."""
    from croco.jobs import checkup  # heavy; `--help` and `--cfg` never need it

    sys.exit(checkup.run(composed))


def _planned(words: Sequence[str]) -> Callable[[], None]:
    """The Hydra function that plans instead."""
    said = [word.removeprefix(HARDWARE) for word in words if word.startswith(HARDWARE)]
    if len(said) != 1:
        raise UserError("hardware: say once for what the plan is, e.g. hardware=8x80GB")

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def plan(composed: DictConfig) -> None:
        from croco.jobs import plan

        sys.exit(plan.run(composed, said[0], [word for word in words if not word.startswith(HARDWARE)]))

    return plan


def command(arguments: Sequence[str]) -> int:
    """Words that are wrong are said before Hydra composes; returns the exit code."""
    if OFFLINE in arguments:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client reads it when it is loaded
    apart = [word for word in arguments if word.startswith(OF_A_PLAN)]
    gone = {OFFLINE, *apart}
    sys.argv = [word for word in sys.argv if word not in gone]
    arguments = [word for word in arguments if word not in gone]
    try:
        called = _planned(apart) if apart else main
    except UserError as error:
        commandline.say(error)
        return 2
    return commandline.run("doctor", called, arguments)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
