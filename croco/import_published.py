"""Pairs from the files of the reference repository, with any pairing of this one; and its arena, with our statistics.

    croco import --scored da_scored.jsonl en_scored.jsonl --originals da.jsonl en.jsonl --to FOLDER \\
        pairing=multi pairing.rejected=-1
    croco import --pairs dpo_all_lang.jsonl --to FOLDER

writes FOLDER/pairs.parquet and FOLDER/report.json, prints the pair report, and says what was left out.

    croco import --annotations results/*_annotations.json --outputs OUTPUTS REFERENCE_OUTPUTS --to FOLDER

writes FOLDER/verdicts.parquet, FOLDER/results.parquet and FOLDER/arena.json, and prints the arena's tables.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco.cli import commandline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for bad input."""
    from croco.exchange import authors  # heavy; `croco --help` never needs it

    return commandline.command("import", __doc__, authors.arguments, authors.run, arguments)


if __name__ == "__main__":
    sys.exit(main())
