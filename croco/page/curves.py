"""Line plots as inline SVG, in colours, dashes and shapes that colour-blind readers can tell apart."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from croco.page.marks import DASHES, SERIES, key, marker, ticks
from croco.show.visible import visible

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 360, 220, 58, 26, 10, 10
MARKED = 12  # a line of so few points has each of them marked; a single one could not be seen otherwise


@dataclass(frozen=True)
class Curve:
    """Lines over the same steps; None where a line has no point."""

    title: str
    steps: Sequence[int]
    lines: Mapping[str, Sequence[float | None]]
    bands: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Low and high around some of the lines, one pair per step."""


def curve(data: Curve) -> str:
    """The SVG of a plot; a plot without a finite value says so."""
    values = [v for line in data.lines.values() for v in line if v is not None and math.isfinite(v)]
    values += [v for band in data.bands.values() for ends in band for v in ends]
    if not data.steps or not values:
        return "<p>nothing was recorded</p>"
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    first, last = min(data.steps), max(data.steps)

    def x(step: float) -> float:
        return LEFT + (step - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(visible(data.title))}">']
    for value in ticks(low, high, 6):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for step in sorted({first, (first + last) // 2, last}):
        anchor = "end" if step == last != first else "middle"
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{step}</text>')
    for index, (name, line) in enumerate(data.lines.items()):
        if name in data.bands:
            lows, highs = zip(*data.bands[name], strict=True)
            around = [*zip(data.steps, highs, strict=True), *reversed(list(zip(data.steps, lows, strict=True)))]
            corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in around)
            parts.append(f'<polygon class="band filled c{index % SERIES}" points="{corners}"/>')
        points = [(x(s), y(v)) for s, v in zip(data.steps, line, strict=True) if v is not None and low <= v <= high]
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        style = f'class="line c{index % SERIES}" stroke-dasharray="{DASHES[index % SERIES]}"'
        parts.append(f'<polyline {style} points="{joined}"/>')
        # Long lines have their shape at the end only, where it tells lines apart that lie on one another.
        parts += [
            marker(a, b, index, filled=True) for a, b in (points if len(points) <= MARKED else [points[0], points[-1]])
        ]
    parts.append("</svg>")
    return "".join(parts) + legend(list(data.lines))


def legend(names: Sequence[str]) -> str:
    """The lines' names beside their pictures."""
    keys = "".join(
        f'<span class="key">{key(index)}{html.escape(visible(name))}</span>' for index, name in enumerate(names)
    )
    return f'<div class="legend">{keys}</div>'
