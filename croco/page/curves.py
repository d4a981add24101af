"""Line plots as inline SVG, in colours that colour-blind readers can tell apart."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 460, 220, 56, 28, 10, 10
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito
MARKED = 12  # a line of so few points has each of them marked; a single one could not be seen otherwise
DASHES = ("", "6 3", "2 3", "8 3 2 3")


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

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(data.title)}">']
    for tick in range(5):
        value = low + (high - low) * tick / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for step in sorted({first, (first + last) // 2, last}):
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{step}</text>')
    for index, (name, line) in enumerate(data.lines.items()):
        if name in data.bands:
            lows, highs = zip(*data.bands[name], strict=True)
            around = [*zip(data.steps, highs, strict=True), *reversed(list(zip(data.steps, lows, strict=True)))]
            corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in around)
            parts.append(f'<polygon class="band" points="{corners}" fill="{COLOURS[index % 4]}" fill-opacity="0.15"/>')
        points = [(x(s), y(v)) for s, v in zip(data.steps, line, strict=True) if v is not None and low <= v <= high]
        style = f'stroke="{COLOURS[index % 4]}" stroke-dasharray="{DASHES[index % 4]}"'
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline fill="none" stroke-width="2" {style} points="{joined}"/>')
        if len(points) <= MARKED:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{COLOURS[index % 4]}"/>' for a, b in points]
    parts.append("</svg>")
    legend = "".join(
        f'<span class="key"><i style="border-top:3px {"dashed" if i else "solid"} {COLOURS[i % 4]}"></i>'
        f"{html.escape(name)}</span>"
        for i, name in enumerate(data.lines)
    )
    return "".join(parts) + f'<div class="legend">{legend}</div>'
