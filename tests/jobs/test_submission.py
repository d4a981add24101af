"""What a submitted sweep says it will make: each artifact once."""

from __future__ import annotations

from pathlib import Path

from croco.jobs import submission
from tests.jobs.test_needs import config_of


def test_what_jobs_share_is_made_once(tmp_path: Path) -> None:
    """Two methods in two languages: one set of answers per language, which both want, and an adapter of its own for each."""
    words = ("lang.languages=[da,nl]", f"paths.artifacts={tmp_path}", "evals=none")
    made = submission.plan([config_of(f"method={method}", *words) for method in ("dpo", "max_r")])
    rows = {row[0]: row[1:3] for row in made.rows}
    assert rows["generations"] == rows["scores"] == (2, 2)
    assert rows["training"] == (2, 1)
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
