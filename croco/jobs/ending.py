"""The last screen of a run: what got better and worse, what to beware of, and where everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from croco.artifacts.store import Artifact, Artifacts
from croco.evals.comparing import changes
from croco.show import tables
from croco.show.tables import Table
from croco.stages.report import EVALUATIONS

MOST = 6  # lines of a kind; a screen has 30, and the page has all
HEADS = {changes.BETTER: "better", changes.WORSE: "worse", changes.OTHER: "changed"}


def results(artifacts: Mapping[str, Artifact | Artifacts]) -> str:
    """The tables of the evaluations, as wide as the terminal."""
    made = [artifacts[name].summary["tables"] for name in EVALUATIONS if name in artifacts]
    return tables.text([Table(**table) for of_one in made for table in of_one]).rstrip()


def lines(report: Artifact, verdict: str, root: Path) -> list[str]:
    """At most 30, one below the other.

    Args:
        verdict: on the training.
    """
    found = [changes.Change(**one) for one in report.summary["changes"]]
    same = [one.measure for one in found if one.verdict == changes.SAME]
    return [
        *(line for kind, head in HEADS.items() for line in _some(_of_kind(found, kind, head))),
        *([f"no difference seen: {', '.join(dict.fromkeys(same))}"] if same else []),
        *([f"training: {verdict}"] if verdict else []),
        *_some([f"warning: {warning}" for warning in report.summary["warnings"]]),
        f"artifacts: {root}/<stage>/<address>, listed in {report.path / 'lineage.json'}",
        f"tables: {report.path / 'report.txt'}",
        f"page: {report.path / 'report.html'}",
    ]


def _of_kind(found: Sequence[changes.Change], kind: str, head: str) -> list[str]:
    return [f"{head}: {changes.sentence(one)} ({one.evaluation})" for one in found if one.verdict == kind]


def _some(said: list[Any]) -> list[str]:
    return said if len(said) <= MOST else [*said[: MOST - 1], f"... and {len(said) - MOST + 1} more, on the page"]
