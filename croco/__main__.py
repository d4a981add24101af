"""`croco COMMAND ...`, the same as `python -m croco.COMMAND ...`; a command is loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "run": ("run", "one run, or with -m many: from configuration to report"),
    "doctor": ("doctor", "what would go wrong, before the hours are spent; the same words as `run`"),
    "status": ("status", "what runs, how far it is, what failed"),
    "compare": ("compare", "finished runs, or an experiment, in one table and page"),
    "export": ("export", "pairs for other tools; a policy as one checkpoint"),
    "reproduce": ("reproduce", "what made a run, what of it differs here; and the run again"),
    "pack": ("pack", "a run with all it stands on as one file"),
    "unpack": ("unpack", "... and back, on another machine"),
    "clean": ("clean", "what artifacts cost and what needs them; removes by age, sweep or reachability"),
    "fetch": ("fetch", "all that a run will load from the hub, for nodes without a network"),
    "import": ("import_published", "the files of the paper's own repository"),
    "workspace": ("workspace", "a W&B workspace that compares runs"),
    "completion": ("completion", "words of this command for bash, zsh and fish"),
}
"""Word -> (module, what it is for)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand on to a command; exit code as its own, 2 for a word that is none."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["-sc"]:
        from croco.cli import completion

        return completion.answer(list(COMMANDS))
    if not given or given[0] in ("--help", "-h"):
        listed = "\n".join(f"  {name:<11} {told}" for name, (_, told) in COMMANDS.items())
        print(f"croco COMMAND ...\n\n{listed}\n\ncroco COMMAND --help says more.")
        return 0
    if given[0] not in COMMANDS:
        print(f"croco: no command '{given[0]}'; there is {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # `module:name` of one's own, as `python -m` finds it; behind all that is installed
    sys.argv = [sys.argv[0], *given[1:]]  # Hydra's commands read it
    command = importlib.import_module(f"croco.{COMMANDS[given[0]][0]}")
    return int(command.main() if given[0] not in ("run", "doctor") else command.command(given[1:]))


if __name__ == "__main__":
    sys.exit(main())
