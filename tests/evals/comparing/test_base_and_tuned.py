"""The table of base against tuned, by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from croco.artifacts import records
from croco.artifacts.records import Result
from croco.errors import UserError
from croco.evals.comparing.base_and_tuned import Comparison, compare
from croco.evals.comparing.base_and_tuned import table as table_of
from croco.maths import statistics
from croco.show import tables

METRICS = ("quality", "language", "tokens", "ended")


def compared(values: Mapping[tuple[str, str], Mapping[str, float]], languages: list[str]) -> list[Comparison]:
    """Of {(system, language): {prompt: value}}; every metric has the same values."""
    rows = [
        Result("quality", system, prompt, language, 0, metric, value)
        for (system, language), by_prompt in values.items()
        for prompt, value in by_prompt.items()
        for metric in METRICS
    ]
    table = pa.Table.from_pylist([records.as_dict(row) for row in rows], schema=records.schema(Result))
    return compare(table, "quality", languages, 500, 0.95)


def test_macro_is_the_mean_of_the_languages() -> None:
    """English has a and b and differs by (1 + 0) / 2, Danish only a and differs by 1: (0.5 + 1) / 2, not (1 + 0) / 2."""
    base = {("base", "en"): {"a": 0.0, "b": 0.0}, ("base", "da"): {"a": 0.0}}
    tuned = {("tuned", "en"): {"a": 1.0, "b": 0.0}, ("tuned", "da"): {"a": 1.0}}
    *_, macro = compared(base | tuned, ["en", "da"])
    assert (macro.prompts, macro.base, macro.tuned) == (2, 0.0, 0.75)
    assert macro.difference == pytest.approx(macro.tuned - macro.base)


def test_macro_of_parallel_prompts_is_over_their_means() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3, 12))  # systems, languages, prompts
    spec = {
        (system, language): {f"p{i:02}": float(values[s, k, i]) for i in range(12)}
        for s, system in enumerate(("base", "tuned"))
        for k, language in enumerate(("en", "da", "nl"))
    }
    *_, macro = compared(spec, ["en", "da", "nl"])
    by_prompt = (values[1] - values[0]).mean(axis=0)
    expected = statistics.bootstrap_mean(by_prompt, 500, 0.95)
    assert (macro.difference, macro.low, macro.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert macro.p == statistics.sign_flip_p(by_prompt, 500)


def test_the_same_gain_in_every_language_has_no_spread() -> None:
    """Tuned is 0.25 better everywhere: however the prompts are drawn, and spread over the languages, the gain is 0.25."""
    base = {("base", "en"): {"a": 0.1, "b": 0.5, "c": 0.3}, ("base", "da"): {"c": 0.2, "d": 0.6}}
    tuned = {("tuned", lang): {p: v + 0.25 for p, v in row.items()} for (_, lang), row in base.items()}
    *_, macro = compared(base | tuned, ["en", "da"])
    assert (macro.prompts, macro.low, macro.high) == (4, pytest.approx(0.25), pytest.approx(0.25))


def test_fidelity_that_cannot_be_told_is_none_not_right() -> None:
    rows = [
        Result("quality", system, "a", "en", 0, metric, None if metric == "language" else 1.0)
        for system in ("base", "tuned")
        for metric in METRICS
    ]
    table = pa.Table.from_pylist([records.as_dict(row) for row in rows], schema=records.schema(Result))
    english, macro = compare(table, "quality", ["en"], 10, 0.95)
    assert english.fidelity_base is None
    assert english.fidelity_tuned is macro.fidelity_tuned is None
    assert "–" in tables.text([table_of("one", [english], 0.95)])


def test_prompts_that_one_system_answered_are_counted() -> None:
    """Of a, b, c, only a is shared; b and c are left out, and the table says so."""
    values = {("base", "en"): {"a": 0.0, "b": 1.0}, ("tuned", "en"): {"a": 1.0, "c": 0.0}}
    english, macro = compared(values, ["en"])
    assert (english.prompts, english.not_shared, english.base, english.tuned) == (1, 2, 0.0, 1.0)
    assert macro.not_shared == 2
    assert "2 prompts" in table_of("one", [english, macro], 0.95).note


def test_a_language_without_a_shared_prompt_is_named() -> None:
    values = {("base", "en"): {"a": 0.0}, ("tuned", "en"): {"b": 1.0}}
    with pytest.raises(UserError, match="en: the two systems have no prompt in common"):
        compared(values, ["en"])
