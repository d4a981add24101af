"""Effects between two systems, from their scores by language and prompt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from croco.artifacts import records
from croco.artifacts.records import Result
from croco.evals.comparing import paired
from croco.maths import statistics

SETTINGS = paired.Settings(resamples=200, confidence=0.95)


def drawn(seed: int, languages: tuple[str, ...] = ("en", "da", "nl"), prompts: int = 20) -> paired.Scores:
    rng = np.random.default_rng(seed)
    return {language: {f"p{i}": float(rng.normal()) for i in range(prompts)} for language in languages}


def test_samples_are_averaged_and_what_was_not_measured_is_left_out() -> None:
    rows = [
        Result("quality", "base", "a", "en", sample, "quality", value) for sample, value in enumerate((0.0, 1.0))
    ] + [Result("quality", "base", "b", "en", 0, "quality", None)]
    table = pa.Table.from_pylist([records.as_dict(row) for row in rows], schema=records.schema(Result))
    assert paired.scores(table) == {("quality", "base"): {"en": {"a": 0.5}}}


def test_zeros_and_ones_are_tested_exactly() -> None:
    """The second alone is right on 5 of 6 prompts, none the other way round: 2 / 2^5 = 1/16."""
    first = {"en": dict.fromkeys("abcdef", 0.0)}
    second = {"en": dict.fromkeys("abcde", 1.0) | {"f": 0.0}}
    english, _ = paired.effects(first, second, ["en"], SETTINGS)
    assert english.p == pytest.approx(1 / 16)


@pytest.mark.parametrize("correction", statistics.CORRECTIONS)
def test_languages_are_one_family_and_macro_is_not_in_it(correction: str) -> None:
    first, second = drawn(0), drawn(1)
    plain = paired.effects(first, second, ["en", "da", "nl"], paired.Settings(200, 0.95, correction="none"))
    rows = paired.effects(first, second, ["en", "da", "nl"], paired.Settings(200, 0.95, correction=correction))
    assert [r.p for r in rows[:-1]] == statistics.adjusted([r.p for r in plain[:-1]], correction)
    assert rows[-1] == plain[-1]


def test_the_smallest_detectable_effect_is_that_of_holms_first_step() -> None:
    first, second = drawn(0), drawn(1)
    english, _, _, macro = paired.effects(first, second, ["en", "da", "nl"], SETTINGS)
    table = np.array([[second[lang][p] - first[lang][p] for p in first[lang]] for lang in first])
    expected = statistics.minimum_detectable(20, table[0].std(ddof=1), alpha=0.05 / 3)
    assert english.detectable == pytest.approx(expected)
    assert macro.detectable == pytest.approx(statistics.minimum_detectable(20, table.mean(axis=0).std(ddof=1)))


def test_one_prompt_detects_nothing() -> None:
    rows = paired.effects({"en": {"a": 0.0}}, {"en": {"a": 0.5}}, ["en"], SETTINGS)
    assert [row.detectable for row in rows] == [None, None]
