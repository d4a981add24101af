"""Tables as text for other documents: what would break them is escaped."""

from __future__ import annotations

from croco.show import tables
from croco.show.tables import Table

TABLE = Table("A_b & 50%", ["name", "value|s"], [["x_1", 0.12345], ["a\nb", None], ["{c}", 1234]], "a note")


def test_latex() -> None:
    lines = tables.latex([TABLE]).splitlines()
    assert r"\begin{tabular}{lr}" in lines
    assert r"x\_1 & 0.123 \\" in lines
    assert r"\{c\} & 1,234 \\" in lines
    assert r"\caption{A\_b \& 50\%. a note}" in lines
    assert lines[lines.index(r"\midrule") + 2] == r"a b & -- \\"
