"""Tables on narrow terminals."""

from __future__ import annotations

import pytest

from croco.show import tables
from croco.show.tables import Table

TABLE = Table(
    "Results", ("language", "base", "tuned", "a long head", "wins"), [("da", 0.5, 0.625, 1234567, None)], "Note."
)


@pytest.mark.parametrize("width", [60, 40, 30, 20, 10])
def test_columns_are_left_out_and_no_line_is_wider(width: int) -> None:
    """Each takes its widest cell or word and a space: 9, 6, 6, 10, 5; 30 columns hold the first three, 36 all."""
    kept = {60: 5, 40: 5, 30: 3, 20: 2, 10: 2}[width]
    assert list(tables.fitted(TABLE, width).columns) == list(TABLE.columns)[:kept]
    if width >= 20:
        assert max(map(len, tables.text([TABLE], width).rstrip().splitlines())) <= width
    more = f"{5 - kept} more columns on a wider terminal. Note."
    assert tables.fitted(TABLE, width).note == (more if kept < 5 else "Note.")
