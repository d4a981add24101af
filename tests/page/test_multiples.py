"""Small multiples: what shares an axis, what stands beside what, and what a row says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from croco.page import multiples
from croco.page.multiples import Cell, Column, Multiples
from croco.show.tables import Table

HEADS = ("measure", "language", "base", "tuned", "difference", "low", "high")
ROWS = [
    ("ended", "da", 0.5, 0.75, 0.25, 0.125, 0.375),
    ("ended", "macro", 0.5, 0.75, 0.25, 0.125, 0.375),
    ("tokens", "da", 40.0, 30.0, -10.0, -30.0, 10.0),
    ("right", "da", 0.0, 1.0, 1.0, 0.9, 1.0),
]


def drawn(made: Multiples) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<div>{multiples.render(made)}</div>").iter("table"))


def axis(table: ElementTree.Element, column: int) -> list[str]:
    return [tick.text or "" for tick in table.findall("tfoot/tr/td")[column + 1].iter("text")]


def test_one_axis_per_unit() -> None:
    """Levels: the shares run from 0 to 1, also `ended`, which does not; tokens from 30 to 40. Differences: -30 to 10 for tokens
    (0 among them), 0 to 1 for shares."""
    made = multiples.of_table(Table("x", HEADS, ROWS))
    assert made is not None
    levels, differences = drawn(made)
    assert [axis(levels, i) for i in range(3)] == [["0", "0.5", "1"], ["30", "35", "40"], ["0", "0.5", "1"]]
    assert [axis(differences, i) for i in range(3)] == [["0", "+0.5", "+1"], ["-20", "0"], ["0", "+0.5", "+1"]]


def test_languages_in_rows_with_their_numbers_in_words() -> None:
    made = multiples.of_table(Table("x", HEADS, ROWS))
    assert made is not None
    levels, differences = drawn(made)
    said = [["".join(cell.itertext()) for cell in row] for row in differences.findall("tbody/tr")]
    assert said == [
        ["da", "+0.250 [+0.125, +0.375]", "-10 [-30, +10]", "+1.000 [+0.900, +1.000]"],
        ["macro", "+0.250 [+0.125, +0.375]", "–", "–"],
    ]
    assert [row.get("class") for row in levels.findall("tbody/tr")] == [None, "total"]
    filled = [" filled" in shape for shape in re.findall(r"<circle[^>]*>", multiples.render(made))]
    assert filled == [False, True] * 5 + [True, False, True, True], "the key and tuned; intervals without 0"


def test_many_columns_stand_in_rows_of_about_one_length() -> None:
    """Seven systems, six at most: four and three, all on one axis."""
    cell = Cell(None, None, 1.0, 0.0, 2.0)
    systems = [Column(str(i), "x", {"da": cell}) for i in range(6)]
    made = drawn(Multiples("x", [*systems, Column("far", "x", {"da": Cell(None, None, 9.0, 8.0, 10.0)})], levels=False))
    assert [len(table.findall("thead/tr/th")) - 1 for table in made] == [4, 3]
    assert axis(made[0], 0) == axis(made[1], 2) == ["0", "+5", "+10"]


def test_tables_of_one_measure_are_not_theirs() -> None:
    assert multiples.of_table(Table("", HEADS[1:], [row[1:] for row in ROWS])) is None
    assert multiples.of_table(Table("", HEADS, [("a", "da", *[None] * 5)])) is None
