"""Differences over paired iterations, by hand and against scipy's own intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from croco.errors import UserError
from croco.evals.benchmarks import paired
from croco.evals.benchmarks.results import Measured


def measured(dataset: str, *scores: float) -> Measured:
    return Measured("m", dataset, "knowledge", ("da",), {"mcc": scores}, True, False, "18.3.0")


BASE = [measured("a", 50, 60, 70), measured("b", 10, 20, 30), measured("c", 1, 1, 1)]
TUNED = [measured("a", 51, 62, 73), measured("b", 0, 10.5, 19.5), measured("c", 1, 1, 1)]
LANGUAGES = {"da": ["a", "b"], "en": ["c"]}


def test_by_hand() -> None:
    """a: differences 1, 2, 3, mean 2, sd 1; t at 2 degrees of freedom, 95 %: 4.3027. b: -10, -9.5, -10.5, sd 0.5."""
    found = paired.compare(BASE, TUNED, LANGUAGES, 0.95)
    sets, means = found.sets, found.means
    a, b, c = sets
    assert (a.base, a.tuned, a.difference, a.deviation) == (60, 62, 2, 1)
    assert (a.low, a.high) == (pytest.approx(2 - 4.302653), pytest.approx(2 + 4.302653))
    assert (a.verdict, b.verdict, c.verdict) == ("", "fell", "")
    assert (b.low, b.high) == (pytest.approx(-10 - 4.302653 / 2), pytest.approx(-10 + 4.302653 / 2))
    assert [row.dataset for row in paired.fallen(sets)] == ["b"]
    assert (c.difference, c.p) == (0, 1)
    da, en, macro = means
    assert (da.language, da.difference, en.difference) == ("da", -4, 0)
    assert macro.difference == -2
    assert da.deviation == pytest.approx(np.std([-4.5, -3.75, -3.75], ddof=1))


def test_holm_over_data_sets() -> None:
    """p of a: 2 t.sf(2, 2) = 0.1835; of b: 2 t.sf(20, 2) = 0.00249; times 2 and 3."""
    sets = paired.compare(BASE, TUNED, LANGUAGES, 0.95).sets
    assert sets[1].p == pytest.approx(3 * 2 * stats.t.sf(20, 2))
    assert sets[0].p == pytest.approx(2 * 2 * stats.t.sf(2, 2))


def test_the_verdict_follows_the_adjusted_p() -> None:
    """Differences 1 and 2 alternating: the interval of one data set leaves 0 out, of twenty such none is told after Holm:
    mean 1.5, sd 0.527 over ten, t = 2.846, p = 0.0192, times 20 = 0.384."""
    base = [measured(str(number), *([0] * 10)) for number in range(20)]
    tuned = [measured(str(number), *([1, 2] * 5)) for number in range(20)]
    rows = paired.compare(base, tuned, {"da": [str(number) for number in range(20)]}, 0.95).sets
    assert all(row.low > 0 and row.unadjusted is not None and row.unadjusted < 0.05 for row in rows)
    assert {(round(row.p or 0, 3), row.verdict) for row in rows} == {(0.384, "")}
    (alone,) = paired.compare(base[:1], tuned[:1], {"da": ["0"]}, 0.95).sets
    assert alone.verdict == "rose"


def test_means_take_the_first_metrics_in_points_of_100() -> None:
    """The second metric of `a` is compared beside, and tokens per second are no points."""
    both = {"f1": (50.0, 60.0), "em": (0.0, 100.0)}
    base = [replace(measured("a"), scores=both), replace(measured("speed"), scores={"speed": (900.0, 1100.0)})]
    tuned = [replace(base[0], scores={**both, "f1": (51.0, 62.0)}), base[1]]
    found = paired.compare(base, tuned, {"da": ["a", "speed"]}, 0.95)
    assert [(row.dataset, row.metric) for row in found.sets] == [("a", "f1"), ("speed", "speed")]
    assert [(row.dataset, row.metric) for row in found.others] == [("a", "em")]
    assert [(row.language, row.base) for row in found.means] == [("da", 55), ("macro", 55)]


def test_more_iterations_do_not_shrink_the_interval() -> None:
    """Bootstrap samples of one test set of 400 items on which two models disagree: sd of the difference is that of the test
    set, sqrt(p (1 - p) ...) / sqrt(400), with 10 samples as with 200."""
    rng = np.random.default_rng(0)
    items = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.75, 0.15], size=400)
    exact = items.std() / 20
    for count, tolerance in ((30, 0.3), (1000, 0.08)):
        replicates = items[rng.integers(400, size=(count, 400))].mean(axis=1)
        base, tuned = measured("a", *np.zeros(count)), measured("a", *replicates)
        (row,) = paired.compare([base], [tuned], {"da": ["a"]}, 0.95).sets
        assert row.deviation == pytest.approx(exact, rel=tolerance)
        assert (row.high - row.low) / 2 == pytest.approx(stats.t.ppf(0.975, count - 1) * row.deviation)


def test_a_constant_difference_has_no_p() -> None:
    """Its spread says nothing about the test set."""
    (row,) = paired.compare([measured("a", 1, 1)], [measured("a", 2, 2)], {"da": ["a"]}, 0.95).sets
    assert (row.p, row.verdict) == (None, "rose")


def test_what_is_not_paired() -> None:
    with pytest.raises(UserError, match=r"a: not the same iterations.*: 3, 2"):
        paired.compare(BASE, [measured("a", 1, 2)], {"da": ["a"]}, 0.95)
    with pytest.raises(UserError, match=r"version of EuroEval"):
        paired.compare(BASE, [replace(TUNED[0], version="17.0.0")], {"da": ["a"]}, 0.95)


def test_tables() -> None:
    by_language, by_set = paired.tables(paired.compare(BASE, TUNED, LANGUAGES, 0.95), 0.95)
    assert [row[0] for row in by_language.rows] == ["da", "en", "macro"]
    assert [(row[0], row[-1]) for row in by_set.rows] == [("a", ""), ("b", "fell"), ("c", "")]
