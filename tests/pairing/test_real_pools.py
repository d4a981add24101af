"""Answers of seventeen real models with a verifier's scores: nulls, ties, empty answers; skipped where they are not at hand."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tables import World

POOLS = Path(os.environ.get("CROCO_REAL_INPUTS", "")) / "pools"


def _pools(language: str) -> list[dict[str, Any]]:
    path = POOLS / f"mifeval_{language}.jsonl.gz"
    if not path.is_file():
        pytest.skip("real inputs are not at hand (CROCO_REAL_INPUTS)")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_ties_go_to_the_first_answer_and_the_report_counts(tmp_path: Path) -> None:
    """Verifier scores take few values, so nearly every pool has ties: the first best and the first nearest are taken."""
    pools = _pools("en")
    world = World(tmp_path)
    expected = {}
    for pool in pools:
        scores = [c["score"] for c in pool["candidates"]]
        texts = [c["response"] or "" for c in pool["candidates"]]
        world.pool(str(pool["id"]), "en", scores, texts, [len(t) // 4 for t in texts], prompt=pool["prompt"])
        known = [i for i, s in enumerate(scores) if s is not None]
        best = max(known, key=lambda i: scores[i])
        lower = [i for i in known if scores[i] < scores[best]]
        values = np.array([scores[i] for i in known])
        target = values.mean() - 2 * values.std()
        if lower:
            # Distances that differ by rounding alone are equal.
            expected[str(pool["id"])] = (best, min(lower, key=lambda i: (round(abs(scores[i] - target), 9), i)))
    rows, summary = world.build()
    assert {r["prompt_id"]: (r["chosen_sample"], r["rejected_sample"]) for r in rows} == expected
    report = summary["report"]
    assert sum(report["refused"].values()) == len(pools) - len(rows)
    assert report["language_of_answers"]["chosen"]["right"] > 0.8 * len(rows)  # some ask for another language
    filtered, after = world.build("pairing=filtered", "pairing.filters.wrong_language=false")
    assert after["report"]["empty"]["rejected"] == after["report"]["identical"] == 0
    assert len(filtered) <= len(rows)
