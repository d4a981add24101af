"""Forest plots as inline SVG: estimates with their intervals on one axis, told apart by shape as well as by colour."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from croco.page.marks import SERIES, marker, strokes, ticks
from croco.show.tables import Table
from croco.show.visible import visible

WIDTH, SIDE, ROW, HEADING, AXIS = 360, 8, 34, 22, 26
LONGEST = 26  # characters of a label that fit beside the numbers
LOW, HIGH = "low", "high"
NO_EFFECT = {"difference": 0.0, "offset": 0.0, "win rate": 0.5}
"""Column -> where nothing is better or worse; a plot of another column has no such line."""
SIGNED = ("difference", "offset")
TOTALS = ("macro", "mean", "all")


@dataclass(frozen=True)
class Interval:
    """One row: an estimate between its bounds."""

    label: str
    value: float
    low: float
    high: float
    language: str = ""
    group: str = ""
    """Rows one after the other with the same group stand under one heading."""
    series: int = 0
    """Which colour and shape."""
    total: bool = False
    seeds: Sequence[float] = ()
    """The estimate of each seed."""


@dataclass(frozen=True)
class Forest:
    """Rows on one axis."""

    what: str
    """What is estimated."""
    rows: Sequence[Interval]
    reference: float | None = 0.0
    signed: bool = True


def of_table(table: Table) -> Forest | None:
    """The plot of a table in which a column stands before its `low` and `high`; None for any other, or without such numbers."""
    columns = list(table.columns)
    places = [i for i in range(1, len(columns) - 2) if columns[i + 1 : i + 3] == [LOW, HIGH]]
    if not places:
        return None
    place = places[0]
    rows = []
    for row in table.rows:
        if not all(_finite(number) for number in row[place : place + 3]):
            continue
        names = {column: value for column, value in zip(columns[:place], row, strict=False) if isinstance(value, str)}
        total = any(name in TOTALS for name in names.values())
        language = "" if total else names.get("language", "")
        value, low, high = row[place : place + 3]
        rows.append(Interval(" ".join(names.values()), value, low, high, language, total=total))
    what = columns[place]
    return Forest(what, rows, NO_EFFECT.get(what), what in SIGNED) if rows else None


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def svg(forest: Forest) -> str:
    """The plot; markers are filled where the interval leaves the reference out, hollow where it does not; a stroke per seed."""
    ends = [end for row in forest.rows for end in (row.low, row.value, row.high, *row.seeds)]
    ends += [forest.reference] if forest.reference is not None else []
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return SIDE + (value - low) / (high - low) * (WIDTH - 2 * SIDE)

    parts: list[str] = []
    top, group = 2.0, ""
    for row in forest.rows:
        if row.group and row.group != group:
            parts.append(f'<text class="bold" x="{SIDE}" y="{top + 16:.0f}">{_text(_short(row.group))}</text>')
            top += HEADING
        group = row.group
        parts.append(_row(row, top, forest, x))
        top += ROW
    axis = []
    for value in ticks(low, high, 5):
        axis.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="0" y2="{top:.0f}"/>')
        shown = _number(value, forest.signed, significant=True)
        axis.append(f'<text x="{x(value):.1f}" y="{top + 16:.0f}" text-anchor="middle">{shown}</text>')
    if forest.reference is not None:
        at = x(forest.reference)
        axis.append(f'<line class="zero" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{top:.0f}"/>')
    head = f'<svg class="forest" viewBox="0 0 {WIDTH} {top + AXIS:.0f}" role="img" aria-label="{_text(forest.what)}">'
    return "".join([head, *axis, *parts, "</svg>"])


def _row(row: Interval, top: float, forest: Forest, x: Callable[[float], float]) -> str:
    told = forest.reference is not None and not row.low <= forest.reference <= row.high
    numbers = [_number(number, forest.signed) for number in (row.value, row.low, row.high)]
    said = f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
    seeds = f"; seeds {', '.join(_number(seed, forest.signed) for seed in row.seeds)}" if row.seeds else ""
    bold = ' class="bold"' if row.total else ""
    name = _text(row.label)
    kind = "total" if row.total else "interval"
    parts = [
        f'<g data-language="{_text(row.language)}"><title>{name}: {said}{seeds}</title>',
        f'<text{bold} x="{SIDE}" y="{top + 13:.0f}">{_text(_short(row.label))}</text>',
        f'<text{bold} x="{WIDTH - SIDE}" y="{top + 13:.0f}" text-anchor="end">{said}</text>',
        f'<line class="c{row.series % SERIES} {kind}" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}"'
        f' y1="{top + 23:.0f}" y2="{top + 23:.0f}"/>',
        strokes(map(x, row.seeds), top + 23, row.series),
        marker(x(row.value), top + 23, row.series, filled=told),
        "</g>",
    ]
    return "".join(parts)


def _text(text: str) -> str:
    return html.escape(visible(text))


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def _number(value: float, signed: bool, significant: bool = False) -> str:
    sign = "+" if signed and value else ""
    return f"{value:{sign}.3g}" if significant else f"{value:{sign}.3f}"
