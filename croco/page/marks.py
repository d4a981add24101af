"""What all plots share: shapes and dashes that tell lines apart without colour, and round numbers for an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable

SERIES = 6
"""Colours, shapes and dashes there are (the colours, Okabe and Ito's, stand in page.css: c0 to c5, for light and dark)."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4")
SIZE = 5


def marker(x: float, y: float, series: int, filled: bool) -> str:
    """The shape of a series at a point: circle, square, triangle, diamond, cross, triangle on its head."""
    style = f'class="mark c{series % SERIES}{" filled" if filled else ""}"'
    shape = series % SERIES
    if shape == 0:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="{SIZE}"/>'
    outlines = {
        1: ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        2: ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        3: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        4: ((-1, -1), (0, -0.4), (1, -1), (0.4, 0), (1, 1), (0, 0.4), (-1, 1), (-0.4, 0)),
        5: ((0, 1.2), (1.1, -0.9), (-1.1, -0.9)),
    }
    points = " ".join(f"{x + a * SIZE:.1f},{y + b * SIZE:.1f}" for a, b in outlines[shape])
    return f'<polygon {style} points="{points}"/>'


def strokes(places: Iterable[float], y: float, series: int) -> str:
    """Of the seeds of an estimate: where each stands, across the estimate's interval."""
    return "".join(
        f'<line class="seed c{series % SERIES}" x1="{x:.1f}" x2="{x:.1f}" y1="{y - SIZE}" y2="{y + SIZE}"/>'
        for x in places
    )


def key(series: int) -> str:
    """A small picture of a series for a legend: its line and its shape."""
    dash = DASHES[series % SERIES]
    line = f'<line class="line c{series % SERIES}" x1="0" x2="34" y1="8" y2="8" stroke-dasharray="{dash}"/>'
    return (
        f'<svg class="sample" viewBox="0 0 34 16" aria-hidden="true">{line}{marker(17, 8, series, filled=True)}</svg>'
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers from low to high, evenly spaced: 1, 2 or 5 times a power of ten apart.

    Raises:
        ValueError: low is not below high.
    """
    if not low < high:
        raise ValueError(f"no axis from {low} to {high}")
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = (factor * power for factor in (1, 2, 5, 10, 20, 50))
    for step in steps:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            # 0.1 * 3 is not 0.3: rounded to the step's own decimals, and never minus zero.
            digits = max(0, -math.floor(math.log10(step)))
            return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]
    raise AssertionError("fifty times a tenth of the axis leaves few enough")
