"""Line plots as inline SVG, in colours, dashes and shapes that colour-blind readers can tell apart."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from croco.page.marks import DASHES, SERIES, key, marker, ticks
from croco.show.visible import visible

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 360, 220, 58, 26, 12, 14
MARKED = 12  # a line of so few points has each of them marked; a single one could not be seen otherwise
POINTS = 400  # of a line; a page of many long trainings would be megabytes
MANY = 30.0  # largest over smallest value from which a logarithmic axis shows more
DIRECT, LETTER, LINE = (
    14,
    6.6,
    14,
)  # names of so many letters stand at the end of their line; a letter's width, a line's height


@dataclass(frozen=True)
class Warned:
    """A point that the reader should look at."""

    step: int
    value: float
    why: str


@dataclass(frozen=True)
class Curve:
    """Lines over the same steps; None where a line has no point."""

    title: str
    steps: Sequence[int]
    lines: Mapping[str, Sequence[float | None]]
    bands: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Low and high around some of the lines, one pair per step."""
    reference: float | None = None
    """A value that stands for no change; it is on the axis."""
    log: bool = False
    """A logarithmic axis where all values are positive and the largest is MANY times the smallest."""
    warned: Sequence[Warned] = ()


def restored(said: Mapping[str, Any]) -> Curve:
    """A curve as summaries keep it."""
    return Curve(**{**said, "warned": [Warned(**one) for one in said["warned"]]})


@dataclass(frozen=True)
class _Frame:
    """Where a step and a value stand."""

    first: int
    last: int
    low: float
    high: float
    log: bool
    right: float

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / max(self.last - self.first, 1) * (WIDTH - LEFT - self.right)

    def y(self, value: float) -> float:
        low, high, value = map(math.log10, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    @property
    def ticks(self) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, 6)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1.0,) if len(powers) > 4 else (1.0, 3.0)
        return [f * 10.0**power for power in powers for f in steps if self.low <= f * 10.0**power <= self.high]


def curve(data: Curve) -> str:
    """The SVG of a plot; a plot without a finite value says so."""
    values = [v for line in data.lines.values() for v in line if v is not None and math.isfinite(v)]
    values += [v for band in data.bands.values() for ends in band for v in ends]
    if not data.steps or not values:
        return "<p>nothing was recorded</p>"
    direct = 1 < len(data.lines) <= SERIES and all(len(name) <= DIRECT for name in data.lines)
    right = RIGHT + (LETTER * max(map(len, data.lines)) if direct else 0)
    frame = _frame(data, values, right)
    name = html.escape(visible(data.title))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">', *_axes(frame)]
    if data.reference is not None and not frame.log:
        at = frame.y(data.reference)
        parts.append(f'<line class="zero" x1="{LEFT}" x2="{WIDTH - right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
    ends = {}
    for index, (name, line) in enumerate(data.lines.items()):
        if name in data.bands:
            parts.append(_band(data.steps, data.bands[name], frame, index))
        inside = [
            (s, v) for s, v in zip(data.steps, line, strict=True) if v is not None and frame.low <= v <= frame.high
        ]
        points = _thinned([(frame.x(step), frame.y(value)) for step, value in inside])
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        style = f'class="line c{index % SERIES}" stroke-dasharray="{DASHES[index % SERIES]}"'
        parts.append(f'<polyline {style} points="{joined}"/>')
        if points:
            # Long lines have their shape at the end only, where it tells lines apart that lie on one another.
            shown = points if len(points) <= MARKED else [points[0], points[-1]]
            parts += [marker(a, b, index, filled=True) for a, b in shown]
            ends[name] = points[-1]
    parts += _names(ends) if direct else []
    parts += [_ring(frame.x(one.step), frame.y(one.value)) for one in data.warned]
    parts.append("</svg>")
    parts += [f'<p class="warning">step {one.step}: {html.escape(visible(one.why))}</p>' for one in data.warned]
    return "".join(parts) + ("" if direct or len(data.lines) == 1 else legend(list(data.lines)))


def _frame(data: Curve, values: Sequence[float], right: float) -> _Frame:
    low, high = min(values), max(values)
    first, last = min(data.steps), max(data.steps)
    if data.log and low > 0 and high / low >= MANY:
        return _Frame(first, last, low / 1.1, high * 1.1, True, right)
    if data.reference is not None:
        low, high = min(low, data.reference), max(high, data.reference)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return _Frame(first, last, low - margin, high + margin, False, right)


def _axes(frame: _Frame) -> list[str]:
    parts = []
    for value in frame.ticks:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 9}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for step in sorted({frame.first, (frame.first + frame.last) // 2, frame.last}):
        anchor = "end" if step == frame.last != frame.first else "middle"
        parts.append(f'<text x="{frame.x(step):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{step}</text>')
    return parts


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """As the eye sees them: of points that share a pixel or two the highest and the lowest, and the line's ends."""
    if len(points) <= POINTS:
        return points
    kept = []
    size = math.ceil(len(points) / (POINTS // 2))
    for first in range(0, len(points), size):
        some = points[first : first + size]
        kept += sorted({min(some, key=lambda point: point[1]), max(some, key=lambda point: point[1])})
    return [points[0], *kept[1:-1], points[-1]]


def _band(steps: Sequence[int], band: Sequence[tuple[float, float]], frame: _Frame, index: int) -> str:
    lows, highs = zip(*band, strict=True)
    around = [*zip(steps, highs, strict=True), *reversed(list(zip(steps, lows, strict=True)))]
    corners = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in around)
    return f'<polygon class="band filled c{index % SERIES}" points="{corners}"/>'


def _names(ends: Mapping[str, tuple[float, float]]) -> list[str]:
    """Each line's name at its end, moved apart where ends lie on one another."""
    parts = []
    free = float(TOP - LINE)
    room = HEIGHT - BOTTOM
    for left, (name, (x, y)) in zip(
        range(len(ends), 0, -1), sorted(ends.items(), key=lambda end: end[1][1]), strict=True
    ):
        free = min(max(y, free + LINE), room - (left - 1) * LINE)
        parts.append(f'<text x="{x + 9:.1f}" y="{free + 4:.1f}">{html.escape(visible(name))}</text>')
    return parts


def _ring(x: float, y: float) -> str:
    return f'<circle class="warned" cx="{x:.1f}" cy="{y:.1f}" r="10"/>'


def legend(names: Sequence[str]) -> str:
    """The lines' names beside their pictures."""
    keys = "".join(
        f'<span class="key">{key(index)}{html.escape(visible(name))}</span>' for index, name in enumerate(names)
    )
    return f'<div class="legend">{keys}</div>'
