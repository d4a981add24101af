"""What a stage left out, and what it did not get, from the summary of its artifact: said when it is made and when it is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from croco.pairing import levels

BY_REASON = ("dropped", "left_out", "refused")


def said(summary: Mapping[str, Any]) -> str:
    """`, 2,048 rows; left out: 3 too long, 1 empty`, as far as the summary says."""
    rows = f", {summary['rows']:,} rows" if "rows" in summary else ""
    parts = [f"{count:,} {reason}" for reason, count in _counts(summary) if count]
    notes = "".join(f"; {note}" for note in summary.get("notes", ()))
    return rows + (f"; left out: {', '.join(parts)}" if parts else "") + notes


def _counts(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    report = summary.get("report")
    for part in (summary, report if isinstance(report, Mapping) else {}):
        for name in BY_REASON:
            counts = part.get(name)
            if isinstance(counts, Mapping):
                yield from ((str(reason), count) for reason, count in counts.items() if isinstance(count, int))
    if isinstance(summary.get("failed"), int):
        yield "without a reward", summary["failed"]


def warned(summary: Mapping[str, Any]) -> list[str]:
    """What was warned of when an artifact was made: of pairs, and why training's verdict is what it is."""
    report = summary.get("report")
    return [*(levels.warnings(dict(report)) if isinstance(report, Mapping) else ()), *summary.get("reasons", ())]
