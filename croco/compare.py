"""Finished runs in one table: paired differences, corrected p-values, and what could have been found at all.

croco compare runs/report/<address> runs/report/<address>
croco compare dpo=3f2a sft=9b41 --format latex         # by the first characters of the reports' addresses
croco compare 3f2a 9b41 77c0 --baseline base --correction bh --html compared.html   # also as a page
croco compare methods_tiny                                       # an experiment: its newest sweep, to experiments/results
croco compare SWEEP                                              # a sweep's folder, or its name under runs/sweeps
croco compare euroeval FILE... --base NAME --tuned NAME          # any result files of EuroEval, without a run
croco compare answers A.jsonl B.jsonl --prompts FILE             # any two systems' answers, checked by rules
croco compare annotations FILE...                                # what AlpacaEval's or Arena-Hard's judge said, .gz too

Each run is compared with the policy it started from (`base`), or all with --baseline NAME. Runs that only seeds tell apart are
one arm, whose interval is over seeds and prompts; p-values are corrected over all comparisons.
Everything is read from the artifacts on disk; nothing is run again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.jobs import comparison, files  # heavy; `croco --help` never needs it

    given = list(sys.argv[1:] if arguments is None else arguments)
    kind = files.kind_of(given)
    if kind is not None:
        ask, do = files.KINDS[kind]
        return commandline.command(f"compare {kind}", __doc__, ask, do, given[1:])
    return commandline.command("compare", __doc__, comparison.arguments, comparison.run, given)


if __name__ == "__main__":
    sys.exit(main())
