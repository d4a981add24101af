"""Where benchmarks leave their tables: printed, and kept as Markdown, by default under benchmarks/results/."""

from __future__ import annotations

from pathlib import Path

from croco.show import tables
from croco.show.tables import Table

RESULTS = Path(__file__).parent / "results"


def write(path: Path, *shown: Table) -> None:
    """Print the tables and write them to a Markdown file."""
    print(tables.text(shown), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(tables.markdown(table) for table in shown) + "\n", encoding="utf-8")
