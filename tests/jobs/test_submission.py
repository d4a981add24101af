"""What a submitted sweep says it will make: each artifact once, with hours that follow from the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.jobs import submission
from tests.jobs.test_needs import config_of


def test_hours_follow_from_the_configuration() -> None:
    """By hand at the paper's size: 20,000 x 64 answers of 400 tokens at 12,000 tokens/s; 600 tokens each read at 25,000; 0.1 s a
    pair of 20,000 per language, or of 20,000 for all."""
    mono, multi = (config_of("model=eurollm", "lang=multi", f"pairing={scope}") for scope in ("mono", "multi"))
    assert submission.gpu_hours("generations", mono) == pytest.approx(20_000 * 64 * 400 / 12_000 / 3600)
    assert submission.gpu_hours("scores", mono) == pytest.approx(20_000 * 64 * 600 / 25_000 / 3600)
    assert submission.gpu_hours("training", mono) == pytest.approx(7 * 20_000 * 0.1 / 3600)
    assert submission.gpu_hours("training", multi) == pytest.approx(20_000 * 0.1 / 3600)
    assert submission.gpu_hours("pairs", mono) == submission.gpu_hours("report", mono) == 0


def test_what_jobs_share_is_made_once(tmp_path: Path) -> None:
    """Two methods in two languages: one set of answers per language, which both want, and an adapter of its own for each."""
    words = ("lang.languages=[da,nl]", f"paths.artifacts={tmp_path}", "evals=none")
    made = submission.plan([config_of(f"method={method}", *words) for method in ("dpo", "max_r")])
    rows = {row[0]: row[1:3] for row in made.rows}
    assert rows["generations"] == rows["scores"] == (2, 2)
    assert rows["training"] == (2, 1)
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
