"""What got better and worse, from rows whose differences are known by construction."""

from __future__ import annotations

import pyarrow as pa
import pytest

from croco.artifacts import records
from croco.artifacts.records import Result
from croco.evals.comparing import changes, paired

SETTINGS = paired.Settings(resamples=500, confidence=0.95)


def table(values: dict[str, tuple[float, float]], prompts: int = 12) -> pa.Table:
    """Measure -> (base, tuned) of each of so many prompts, the same everywhere."""
    rows = [
        Result("checks", system, f"p{number}", "da", 0, measure, value, "")
        for measure, both in values.items()
        for system, value in zip(("base", "tuned"), both, strict=True)
        for number in range(prompts)
    ]
    return pa.Table.from_pylist([records.as_dict(row) for row in rows], schema=records.schema(Result))


def test_verdicts() -> None:
    """Twelve equal differences of one sign: sign flips give p = 2 / 2^12, times four measures 0.002. More repetition is
    worse, more tokens is neither, no difference is p = 1."""
    given = {"language": (0.0, 1.0), "repetition": (0.2, 0.4), "tokens": (10.0, 12.0), "ended": (1.0, 1.0)}
    found = changes.changes(changes.measured({"checks": table(given)}, ["da"], SETTINGS))
    assert [(one.measure, one.verdict) for one in found] == [
        ("right language", changes.BETTER),
        ("repetition", changes.WORSE),
        ("tokens", changes.OTHER),
        ("answers ended by the model", changes.SAME),
    ]
    assert found[0].difference == 1.0
    assert changes.sentence(found[2]).startswith("tokens 10 → 12: +2 [+2, +2], p 0.0")


def test_many_measures_are_many_tests() -> None:
    """Six prompts, one sign: p = 2 / 2^6 = 0.031 alone is a difference, and times two measures none."""
    alone = changes.changes(changes.measured({"a": table({"language": (0.0, 0.5)}, prompts=6)}, ["da"], SETTINGS))
    assert alone[0].p == pytest.approx(2 / 64, abs=0.02)
    two = changes.changes(
        changes.measured({"a": table({"language": (0.0, 0.5), "ended": (0.5, 1.0)}, prompts=6)}, ["da"], SETTINGS)
    )
    assert {one.verdict for one in two} == {changes.SAME}


def test_a_language_that_only_one_system_has_is_left_out() -> None:
    found = changes.changes(changes.measured({"a": table({"language": (0.0, 1.0)})}, ["da", "de"], SETTINGS))
    assert len(found) == 1
