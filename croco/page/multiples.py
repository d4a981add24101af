"""Small multiples: a column of little plots per measure, a row per language; measures of one unit share one axis.

Every plot has its numbers in words beneath.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from croco.evals.comparing import changes, paired
from croco.page import cells, marks
from croco.page.cells import HEIGHT, Axis, vertical
from croco.page.forest import HIGH, LOW, TOTALS
from croco.show.tables import Table

SIZE = 4.5
ABREAST = 6  # columns beside one another; more stand below, in rows of about one length
SHARE = "share"
MEASURE = ("measure", "metric")
"""Columns that name what a row measures."""


@dataclass(frozen=True)
class Cell:
    """One measure in one language: two levels, or an estimate between its bounds."""

    first: float | None
    second: float | None
    difference: float
    low: float
    high: float
    seeds: Sequence[float] = ()
    """The difference of each seed."""


@dataclass(frozen=True)
class Column:
    """One measure, or one system."""

    name: str
    unit: str
    cells: Mapping[str, Cell]
    """By language."""
    note: str = ""


@dataclass(frozen=True)
class Multiples:
    """Columns of cells."""

    title: str
    columns: Sequence[Column]
    levels: bool = True
    """Whether the two levels are drawn besides their difference."""


def of_measured(title: str, found: Sequence[changes.Measured]) -> Multiples:
    """The measures of one evaluation."""
    return Multiples(title, [_column(one) for one in found])


def _column(one: changes.Measured) -> Column:
    found = _cells(one.effects)
    note = "less is better" if one.measure in changes.LESS_IS_BETTER else ""
    return Column(one.name, unit(one.name, found.values()), found, note)


def of_table(table: Table) -> Multiples | None:
    """A table of several measures by language, base, tuned and difference with its bounds; None for any other."""
    heads = list(table.columns)
    named = [name for name in MEASURE if name in heads]
    if not named or not {"language", "base", "tuned", "difference", LOW, HIGH} <= set(heads):
        return None
    found: dict[str, dict[str, Cell]] = {}
    for row in (dict(zip(heads, values, strict=True)) for values in table.rows):
        numbers = [row[name] for name in ("base", "tuned", "difference", LOW, HIGH)]
        if all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            found.setdefault(row[named[0]], {})[row["language"]] = Cell(*numbers)
    if not found:
        return None
    return Multiples(table.title, [Column(name, unit(name, of_one.values()), of_one) for name, of_one in found.items()])


def of_systems(what: str, rows: Mapping[str, Sequence[paired.Effect]]) -> Multiples:
    """A column per system, all on one axis: what is compared is the same."""
    found = {name: _cells(of_system) for name, of_system in rows.items()}
    alike = unit(what, [cell for of_one in found.values() for cell in of_one.values()])
    return Multiples(what, [Column(name, alike, of_one) for name, of_one in found.items()], levels=False)


def _cells(effects: Sequence[paired.Effect]) -> dict[str, Cell]:
    return {e.language: Cell(e.first, e.second, e.difference, e.low, e.high, e.by_seed) for e in effects}


def unit(name: str, found: Iterable[Cell]) -> str:
    """Shares are measured alike; anything else by itself."""
    levels = [level for cell in found for level in (cell.first, cell.second)]
    return SHARE if all(level is not None and 0 <= level <= 1 for level in levels) else name


def render(made: Multiples) -> str:
    """The HTML: levels as dumbbells where there are any, then differences with their intervals."""
    abreast = math.ceil(len(made.columns) / math.ceil(len(made.columns) / ABREAST))
    blocks = [made.columns[i : i + abreast] for i in range(0, len(made.columns), abreast)]
    parts = []
    if made.levels:
        key = '<svg class="sample" viewBox="0 0 34 16" aria-hidden="true">' + _dumbbell(8, 26, 8) + "</svg>"
        parts.append(f'<p class="legend"><span class="key">{key}base (hollow) to tuned (filled)</span></p>')
        parts += [_block(made, block, abreast, levels=True) for block in blocks]
    strokes = any(cell.seeds for one in made.columns for cell in one.cells.values())
    said = "difference with its interval, filled where the interval leaves 0 out" + "; a stroke per seed" * strokes
    parts.append(f'<p class="legend">{said}</p>')
    return "".join([*parts, *(_block(made, block, abreast, levels=False) for block in blocks)])


def _block(made: Multiples, columns: Sequence[Column], abreast: int, levels: bool) -> str:
    # Columns of the other blocks count, too: what has one unit has one axis.
    axes = {one.name: _axis([other for other in made.columns if other.unit == one.unit], levels) for one in columns}
    languages = dict.fromkeys(language for one in made.columns for language in one.cells)
    ordered = [*(one for one in languages if one not in TOTALS), *(one for one in languages if one in TOTALS)]
    rows = {language: [_cell(one, language, axes[one.name], levels) for one in columns] for language in ordered}
    feet = [axes[one.name].drawn(signed=not levels) for one in columns]
    what = f"{made.title}, {'levels' if levels else 'differences'} of {', '.join(one.name for one in columns)}"
    return cells.table(what, [(one.name, one.note) for one in columns], rows, feet, abreast)


def _axis(columns: Sequence[Column], levels: bool) -> Axis:
    found = [cell for one in columns for cell in one.cells.values()]
    if levels:
        return Axis.around(level for cell in found for level in (cell.first, cell.second) if level is not None)
    return Axis.around(end for cell in found for end in (cell.low, cell.high, *cell.seeds, 0.0))


def _cell(column: Column, language: str, axis: Axis, levels: bool) -> str:
    cell = column.cells.get(language)
    write = cells.number if column.unit != SHARE else lambda value, signed=False: f"{value:{'+' if signed else ''}.3f}"
    if cell is None or (levels and (cell.first is None or cell.second is None)):
        return cells.EMPTY
    drawn = [vertical("grid", axis.x(value)) for value in axis.ticks]
    if levels:
        assert cell.first is not None
        assert cell.second is not None
        drawn.append(_dumbbell(axis.x(cell.first), axis.x(cell.second), HEIGHT / 2))
        said = f"{write(cell.first)} → {write(cell.second)}"
    else:
        told = not cell.low <= 0 <= cell.high
        ends = f'x1="{axis.x(cell.low):.1f}" x2="{axis.x(cell.high):.1f}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"'
        drawn += [
            vertical("zero", axis.x(0)),
            f'<line class="c0 {"total" if language in TOTALS else "interval"}" {ends}/>',
        ]
        drawn.append(marks.strokes(map(axis.x, cell.seeds), HEIGHT / 2, 0))
        drawn.append(_dot(axis.x(cell.difference), HEIGHT / 2, told))
        said = f"{write(cell.difference, True)} [{write(cell.low, True)}, {write(cell.high, True)}]"
    return cells.cell(drawn, said)


def _dumbbell(first: float, second: float, y: float) -> str:
    bar = f'<line class="bar" x1="{first:.1f}" x2="{second:.1f}" y1="{y}" y2="{y}"/>'
    return bar + _dot(first, y, filled=False) + _dot(second, y, filled=True)


def _dot(x: float, y: float, filled: bool) -> str:
    return f'<circle class="mark c0{" filled" if filled else ""}" cx="{x:.1f}" cy="{y}" r="{SIZE}"/>'
