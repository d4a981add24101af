"""A table of little plots, a row per language: it scrolls, wraps and is read aloud as any table."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from croco.page.forest import TOTALS
from croco.page.marks import ticks
from croco.show.visible import visible

WIDTH, HEIGHT, SIDE, FOOT = 160, 22, 14, 18
DIGIT = 7  # about as wide, at most
EMPTY = "<td>–</td>"


@dataclass(frozen=True)
class Axis:
    """What all plots of a column share."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """From the lowest to the highest, with room for marks at both."""
        found = list(values)
        low, high = min(found), max(found)
        margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
        return cls(low - margin, high + margin)

    def x(self, value: float) -> float:
        """Where a value stands; one beyond the axis stands at its end."""
        inside = min(max(value, self.low), self.high)
        return SIDE + (inside - self.low) / (self.high - self.low) * (WIDTH - 2 * SIDE)

    @property
    def ticks(self) -> list[float]:
        return ticks(self.low, self.high, 4)

    def grid(self, height: float = HEIGHT) -> list[str]:
        """A line at every number."""
        return [vertical("grid", self.x(value), height) for value in self.ticks]

    def drawn(self, signed: bool = False) -> str:
        """The numbers."""
        marks = []
        for value in self.ticks:
            said = number(value, signed and bool(value))
            half = len(said) * DIGIT / 2  # a long number at the edge stands inside
            x = min(max(self.x(value), half), WIDTH - half)
            marks.append(f'<text x="{x:.1f}" y="12" text-anchor="middle">{said}</text>')
        return f'<svg viewBox="0 0 {WIDTH} {FOOT}">{"".join(marks)}</svg>'


def number(value: float, signed: bool = False) -> str:
    """With three digits that tell, and all of them from 1,000 on: nobody reads 1.23e+03 tokens."""
    return f"{value:{'+' if signed else ''}{',.0f' if 1e3 <= abs(value) < 1e9 else '.3g'}}"


def vertical(kind: str, x: float, height: float = HEIGHT) -> str:
    """A line from top to bottom."""
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'


def cell(drawn: Iterable[str], said: str, height: float = HEIGHT) -> str:
    """A plot with its numbers in words, which are what is read aloud."""
    return f'<td><svg viewBox="0 0 {WIDTH} {height}" aria-hidden="true">{"".join(drawn)}</svg>{said}</td>'


def table(
    what: str,
    heads: Sequence[tuple[str, str]],
    rows: Mapping[str, Sequence[str]],
    feet: Sequence[str],
    abreast: int,
) -> str:
    """The HTML.

    Args:
        heads: (name, note) of each column.
        rows: language -> cells.
        feet: the axes.
        abreast: how many columns a whole row of them has; all are as wide as in that one.
    """
    tops = "".join(
        f'<th scope="col">{text(name)}{f"<small>{text(note)}</small>" if note else ""}</th>' for name, note in heads
    )
    lines = []
    for language, made in rows.items():
        marked = ' class="total"' if language in TOTALS else f' data-language="{text(language)}"'
        lines.append(f'<tr{marked}><th scope="row">{text(language)}</th>{"".join(made)}</tr>')
    ends = "".join(f"<td>{foot}</td>" for foot in feet)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(what)}">'
        f'<table class="multiples" style="--columns:{len(heads)};--abreast:{abreast}">'
        f'<thead><tr><th scope="col">language</th>{tops}</tr></thead><tbody>{"".join(lines)}</tbody>'
        f'<tfoot aria-hidden="true"><tr><td></td>{ends}</tr></tfoot></table></div>'
    )


def text(words: str) -> str:
    """As HTML."""
    return html.escape(visible(words))
