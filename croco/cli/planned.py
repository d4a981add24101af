"""Words of `croco doctor` that are none of a run's: `--offline`, and those of a plan for hardware that is not here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from croco.errors import UserError

OFFLINE = "--offline"
HARDWARE = "hardware="
OF_A_PLAN = (HARDWARE, "rates.")


@dataclass(frozen=True)
class Asked:
    """What `croco doctor` is asked for."""

    run: list[str]
    """The words of a run."""
    hardware: str | None
    """For what a plan is; None: this machine is looked at."""
    rates: list[str]


def parted(arguments: Sequence[str]) -> Asked:
    """Take the words that are none of a run's from the arguments and from `sys.argv`, which Hydra reads.

    Raises:
        UserError: rates without hardware, or several of it.
    """
    if OFFLINE in arguments:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client reads it when it is loaded
    apart = [word for word in arguments if word.startswith(OF_A_PLAN)]
    said = [word.removeprefix(HARDWARE) for word in apart if word.startswith(HARDWARE)]
    if apart and len(said) != 1:
        raise UserError("hardware: say once for what the plan is, e.g. hardware=8x80GB")
    gone = {OFFLINE, *apart}
    sys.argv = [word for word in sys.argv if word not in gone]
    run = [word for word in arguments if word not in gone]
    return Asked(run, said[0] if said else None, [word for word in apart if not word.startswith(HARDWARE)])
