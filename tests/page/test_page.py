"""Plots and tables of the page, as text."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croco import page
from croco.artifacts import store
from croco.evals.comparing import grid, paired
from croco.page import comparison, forest, lineage, trained
from croco.page.curves import BOTTOM, HEIGHT, TOP, Curve, curve
from croco.page.forest import Forest, Interval
from croco.page.marks import SERIES, marker, ticks
from croco.show.tables import Table
from tests.page import samples

RESULTS = Table(
    "Results", ("measure", "language", "prompts", "difference", "low", "high"), [("length", "da", 8, 0.5, -0.25, 1.25)]
)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_a_table_with_bounds_is_a_forest() -> None:
    made = forest.of_table(RESULTS)
    assert made == Forest("difference", [Interval("length da", 0.5, -0.25, 1.25, "da")], 0.0, True)
    assert "+0.500 [-0.250, +1.250]" in texts(forest.svg(made))
    assert forest.of_table(Table("", ("language", "low", "high"), [("da", 1.0, 2.0)])) is None
    assert forest.of_table(Table("", ("language", "x", "low", "high"), [("da", None, 1.0, float("nan"))])) is None
    wins = forest.of_table(Table("", ("language", "win rate", "low", "high"), [("macro", 0.6, 0.4, 0.8)]))
    assert wins is not None
    assert (wins.reference, wins.signed, wins.rows[0].total) == (0.5, False, True)


def test_markers_say_whether_the_interval_leaves_no_effect_out() -> None:
    rows = [Interval("a", 0.5, 0.1, 0.9), Interval("b", 0.5, -0.1, 0.9), Interval("c", -0.5, -0.9, -0.1)]
    filled = [" filled" in shape for shape in re.findall(r"<circle[^>]*>", forest.svg(Forest("x", rows)))]
    assert filled == [True, False, True]


def test_groups_have_one_heading_each() -> None:
    rows = [Interval(name, 1.0, 0.0, 2.0, lang, lang, n) for lang in ("da", "de") for n, name in enumerate("ab")]
    shown = texts(forest.svg(Forest("x", rows)))
    assert [text for text in shown if text in ("da", "de", "a", "b")] == ["da", "a", "b", "de", "a", "b"]


def test_series_differ_in_shape_and_colour() -> None:
    shapes = {re.sub(r"[\d.,-]+", "", marker(0, 0, n, True)) + marker(0, 0, n, True) for n in range(SERIES)}
    assert len(shapes) == SERIES
    css = (page.HERE / "page.css").read_text()
    for number in range(SERIES):
        assert len(re.findall(rf"--c{number}: #", css)) == 2, "light and dark"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int) -> None:
    high = low + width
    made = ticks(low, high, most)
    assert len(made) <= most
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - slack <= tick <= high + slack for tick in made)


def test_ticks_of_a_known_axis() -> None:
    """Five at most from -0.07 to 0.01: steps of 0.01 would be nine, of 0.02 four."""
    assert ticks(-0.07, 0.01, 5) == [-0.06, -0.04, -0.02, 0.0]
    with pytest.raises(ValueError, match="no axis"):
        ticks(1.0, 1.0, 5)


def test_curves_of_nothing_and_of_infinities() -> None:
    assert "nothing was recorded" in curve(Curve("x", [0], {"a": [None]}))
    assert "nan" not in curve(Curve("x", [0, 1, 2], {"a": [1.0, float("nan"), 2.0], "b": [None, float("inf"), None]}))


def test_training_of_runs_over_one_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"step": 0, "loss": 1.0}\n{"step": 2, "loss": 0.5, "heldout_kl": 0.1}\n')
    (tmp_path / "b").write_text('{"step": 0, "loss": 2.0}\n{"step": 1, "loss": 1.5}\n')
    made = trained.overlaid({"a": tmp_path / "a", "b": tmp_path / "b", "gone": tmp_path / "c"})
    assert made == [
        Curve("loss: training", [0, 1, 2], {"a": [1.0, None, 0.5], "b": [2.0, 1.5, None]}, log=True),
        Curve("KL to the reference on held-out answers (nats per token)", [2], {"a": [0.1]}, reference=0.0),
    ]


def test_warnings_are_marked_on_the_curve_they_are_of(tmp_path: Path) -> None:
    """The chosen answers lose 30 nats over 10 tokens, 3 a token; answers no longer end."""
    recorded = [(0, 0.0, 0.0, 0.0, 1.0), (1, -30.0, -50.0, 5.0, 0.25)]
    names = ("step", "chosen_against_reference", "rejected_against_reference", "margin", "heldout_answer_ended")
    more = {"chosen_tokens": 10.0, "rejected_tokens": 10.0, "heldout_answer_tokens": 9.0}
    rows = [dict(zip(names, row, strict=True)) | more for row in [recorded[0], *[recorded[1]] * 5]]
    (tmp_path / "m").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {one.title: one.warned for one in trained.curves(tmp_path / "m") if one.warned}
    (moved,), (ended,) = found["against the reference (nats per token)"], found["held-out answers (shares)"]
    assert (moved.step, moved.value, moved.why[:9]) == (1, -3.0, "collapsed")
    assert (ended.value, ended.why) == (0.25, "25% of the held-out answers ended by themselves, 100% before training")
    drawn = curve(next(one for one in trained.curves(tmp_path / "m") if "shares" in one.title))
    assert drawn.count('class="warned"') == drawn.count('class="warning"') == 1


def test_a_logarithmic_axis_where_it_helps() -> None:
    """From 0.001 to 1 there are 1,000 between; from 0.1 to 1 ten, and 0 has no place on one."""
    for values, numbers in (([1.0, 0.001], ["0.001", "0.01", "0.1", "1"]), ([1.0, 0.1], None), ([1.0, 0.0], None)):
        drawn = curve(Curve("x", [0, 1], {"a": values}, log=True))
        shown = [t for t in texts(drawn) if t not in ("0", "1") or numbers]
        assert (shown[:4] == numbers) is (numbers is not None)


def test_names_at_the_ends_of_lines_do_not_meet() -> None:
    drawn = curve(Curve("x", [0, 1], {"a": [0.0, 1.0], "b": [0.5, 1.0], "c": [1.0, 1.0]}))
    heights = [float(t.get("y", 0)) for t in ElementTree.fromstring(drawn).iter("text") if t.text in ("a", "b", "c")]
    assert len(heights) == 3
    assert min(b - a for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False)) > 13.9


def test_lineage_goes_back_to_the_first_artifact(tmp_path: Path) -> None:
    """prompts -> generations -> (removed) -> pairs: what is gone keeps its address."""
    here = store.Store(tmp_path, {"seed": 7})
    first = here.artifact("prompts", 1, {})
    second = here.artifact("generations", 2, {}, {"prompts/da": first})
    gone = here.artifact("scores", 1, {}, {"generations/da": second})
    last = here.artifact("pairs", 1, {}, {"scores/da": gone, "generations/da": second})
    for made, summary in ((first, {"rows": 3}), (second, {"tokens": 10}), (last, {})):
        made.seal(summary, 2.0, {"host_peak": 2**30})
    found = lineage.ancestors({"pairs": last, "generations": store.Artifacts({"da": second})})
    assert list(found) == ["pairs", "generations/da", "prompts/da"]
    rows = {row[0]: row for row in lineage.lineage(found).rows}
    assert rows["pairs"][3] == f"scores/da {gone.address[:8]}, generations/da {second.address[:8]}"
    assert rows["generations/da"][1:3] == (f"generations/{second.address}", "generations, version 2")
    costs = {row[0]: row[1:] for row in lineage.costs(found).rows}
    assert costs["generations/da"] == (2.0, None, 10, 5.0, 1.0), "no GPU, no column for one"
    assert costs["all"] == (6.0, None, 10, None, None)
    trained = here.artifact("training", 1, {})
    trained.seal({}, 1.0, {"host_peak": 2**30, "device_peak": 3 * 2**30})
    assert lineage.costs({"training": trained, **found}).rows[0][-1] == 3.0


def test_the_page_needs_nothing_else() -> None:
    html = page.render(page.Page("t", "h", [RESULTS], settings={"a": "</pre><b>"}))
    assert "http:" not in html
    assert "https:" not in html
    assert "src=" not in html.replace("default-src=", "")
    assert "</pre><b>" not in html


def test_a_comparison_of_seven_languages_and_twelve_runs_is_small(tmp_path: Path) -> None:
    """Below 3 MB with a thousand recorded steps for each of the runs whose curves are drawn."""
    runs = {f"run {number} of twelve": samples.effects(number) for number in range(12)}
    made = grid.Grid([], [], "quality", "quality", "base", paired.Settings(100, 0.95), runs, [])
    metrics = tmp_path / "metrics.jsonl"
    names = dict.fromkeys(
        [name for plot in trained.PLOTS for name in plot.lines] + ["chosen_tokens", "rejected_tokens"]
    )
    with metrics.open("w") as file:
        for step in range(1000):
            file.write(json.dumps({"step": step, **{name: 1 + math.sin(step) / 2 for name in names}}) + "\n")
    whole = replace(comparison.of_grid(made), curves=trained.overlaid(dict.fromkeys(list(runs)[:SERIES], metrics)))
    html = page.render(whole)
    assert html.count("<polyline") == SERIES * sum(len(plot.lines) for plot in trained.PLOTS)
    assert html.count('data-language="es"') >= 2
    assert len(html.encode()) < 3e6


def test_a_thinned_line_keeps_its_peaks() -> None:
    values = [0.0] * 5000
    values[2345] = 7.0
    assert (
        curve(Curve("x", range(5000), {"a": values})).count(f"{TOP + (7.35 - 7) / 7.7 * (HEIGHT - TOP - BOTTOM):.1f} ")
        == 1
    )
