"""Pairs as pictures, from rows made by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pyarrow as pa

from croco.page import pairs
from croco.page.cells import Axis

REPORT: dict[str, Any] = {
    "languages": {
        "of_prompts": {"da": 1, "en": 1},
        "chosen_by_rejected": {"da": {"da": 1, "en": 0}, "en": {"da": 1, "en": 0}},
    }
}
KEYS = ("prompt_id", "language", "sample", "reward", "finish_reason")
SCORES = [
    ("p", "da", 0, 3.0, "stop"),
    ("p", "da", 1, -1.0, "length"),
    ("p", "en", 0, 2.0, "stop"),
    ("q", "da", 0, None, "length"),
    ("q", "en", 0, 5.0, "length"),
    ("q", "da", 1, 1.0, "length"),
]
PAIRS = [("p", "da", "da", 0, 3.0, 9, "da", 1, -1.0, 4), ("q", "en", "en", 0, 5.0, 2, "da", 1, 1.0, 4)]
COLUMNS = ["prompt_id", "language"] + [
    f"{side}_{name}" for side in pairs.SIDES for name in ("language", "sample", "score", "tokens")
]


def made(with_scores: bool = True) -> pairs.Pairs:
    rows = [dict(zip(COLUMNS, row, strict=True)) | {"source": "on_policy"} for row in PAIRS]
    scores = {"on_policy": pa.Table.from_pylist([dict(zip(KEYS, row, strict=True)) for row in SCORES])}
    return pairs.of_tables(pa.Table.from_pylist(rows), scores if with_scores else {}, REPORT)


def test_rewards_go_by_the_answers_language_and_margins_by_the_prompts() -> None:
    """The failed score is no reward; of the chosen answers the English one was cut off, both rejected are Danish and were."""
    found = made()
    rewards = {lang: {kind: sorted(v.tolist()) for kind, v in of.items()} for lang, of in found.rewards.items()}
    assert rewards == {
        "da": {"all": [-1.0, 1.0, 3.0], "chosen": [3.0], "rejected": [-1.0, 1.0]},
        "en": {"all": [2.0, 5.0], "chosen": [5.0]},
        "all": {"all": [-1.0, 1.0, 2.0, 3.0, 5.0], "chosen": [3.0, 5.0], "rejected": [-1.0, 1.0]},
    }
    assert {lang: v.tolist() for lang, v in found.margins.items()} == {"da": [4.0], "en": [4.0], "all": [4.0, 4.0]}
    assert {lang: v.tolist() for lang, v in found.longer.items()} == {"da": [5.0], "en": [-2.0], "all": [5.0, -2.0]}
    assert found.cut == {
        "da": {"all": 0.75, "chosen": 0.0, "rejected": 1.0},
        "en": {"all": 0.5, "chosen": 1.0, "rejected": None},
        "all": {"all": 4 / 6, "chosen": 0.5, "rejected": 1.0},
    }


def test_the_picture_has_a_row_per_language_and_the_languages_that_met() -> None:
    drawn = ElementTree.fromstring(f"<div>{pairs.render(made())}</div>")
    by_language, matrix = drawn.iter("table")
    assert [row[0].text for row in by_language.findall("tbody/tr")] == ["da", "en", "all"]
    assert "100% longer, 0% shorter, median +5" in ElementTree.tostring(by_language, "unicode")
    cells = [[cell.text for cell in row] for row in matrix.findall("tbody/tr")]
    assert cells == [["da", "1", "0", "1"], ["en", "1", "0", "1"], ["all", "2", "0", "2"]]


def test_pairs_without_scores_have_their_own() -> None:
    found = made(with_scores=False)
    assert set(found.rewards["da"]) == {"chosen", "rejected"}
    assert found.cut["da"] == {}
    drawn = pairs.render(found)
    assert "<svg" in drawn
    assert "all answers" not in drawn
    assert "cut off" not in drawn


def test_what_nobody_knows_has_no_column_and_what_few_have_says_of_how_many() -> None:
    """Lengths alone where no pair has a reward; with one of two, its number. Differences from 1,000 on are written out."""
    rows = [dict(zip(COLUMNS, row, strict=True)) | {"source": "brought"} for row in PAIRS]
    rows[0] |= {"chosen_score": None, "rejected_score": None, "chosen_tokens": 5004}
    drawn = pairs.render(pairs.of_tables(pa.Table.from_pylist(rows), {}, REPORT))
    assert "known of 1 of 2 pairs" in drawn
    assert "median +5,000" in drawn
    table = pa.Table.from_pylist(
        rows[:1], schema=pa.Table.from_pylist([dict(zip(COLUMNS, PAIRS[0], strict=True))]).schema
    )
    table = table.append_column("source", pa.array(["brought"]))
    drawn = pairs.render(pairs.of_tables(table, {}, REPORT))
    assert not any(f">{name}<" in drawn for name in ("rewards", "margin", "cut off"))
    assert ">longer by<" in drawn


def test_rewards_of_zero_and_one_are_two_thin_bars() -> None:
    """A bar as wide as a unit would cover half of the axis."""
    (area,) = [one for one in pairs._rewards_drawn({"chosen": np.array([1.0])}, Axis(-0.04, 1.04))[0] if "area" in one]
    assert area.count("H") == pairs.BINS


def test_a_count_has_a_bar_of_its_own() -> None:
    """On an axis of four, 1 and 2 would fall into bars with a gap between them; of one each they stand side by side."""
    assert pairs._area(np.array([1.0, 2.0]), Axis(-0.2, 4.2), "c0").count("H") == 6
