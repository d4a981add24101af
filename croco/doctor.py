"""`croco doctor model=... reward=... method=...`: what can be known to go wrong before the hours are spent.

Takes the same words as `croco.run`. It makes the prompts (a run finds them) and looks at a few of each language: their token ids,
a step of training on them, a greedy answer, and their rewards. Exit code 0 when nothing failed, 1 when something did, 2 for bad
input. Without the GPU that a run needs, it checks what needs none, and says what it could not. `--offline`: as on a node
without a network, with what `croco fetch` has brought.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from croco.cli import commandline
from croco.config import CONF  # registers the resolvers that conf/ uses, too

OFFLINE = "--offline"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(composed: DictConfig) -> None:
    """Print every finding; exit code 0, 1 where a check fails, 2 for bad input."""
    from croco.jobs import checkup  # heavy; `--help` and `--cfg` never need it

    sys.exit(checkup.run(composed))


def command(arguments: Sequence[str]) -> int:
    """Words that are wrong are said before Hydra composes; returns the exit code."""
    if OFFLINE in arguments:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client reads it when it is loaded
        sys.argv = [word for word in sys.argv if word != OFFLINE]
        arguments = [word for word in arguments if word != OFFLINE]
    return commandline.run("doctor", main, arguments)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
