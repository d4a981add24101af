"""A picture of the page by itself, as one SVG: for notebooks and for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from croco.page import cells
from croco.page.cells import FOOT, SIDE, WIDTH, Axis

LEFT, RIGHT, GAP, TOP = 56, 250, 6, 26
STYLE = """
svg.croco { max-width: 44rem; height: auto; font: 11px system-ui, sans-serif; --c0: #0072b2; --c1: #d55e00; --quiet: #777; }
svg.croco text { fill: currentColor; } svg.croco .bold { font-weight: 700; }
svg.croco .grid { stroke: #8886; stroke-width: .6; } svg.croco .zero { stroke: currentColor; stroke-dasharray: 3 2; }
svg.croco .area { fill-opacity: .3; stroke-width: 1.3; } svg.croco .any { fill: var(--quiet); stroke: none; }
svg.croco .c0 { fill: var(--c0); stroke: var(--c0); } svg.croco .c1 { fill: var(--c1); stroke: var(--c1); }
@media (prefers-color-scheme: dark) { svg.croco { --c0: #56b4e9; --c1: #f08a3c; --quiet: #aaa; } }
"""


@dataclass(frozen=True)
class Picture:
    """A row per language over one axis; a notebook shows it."""

    title: str
    rows: Mapping[str, tuple[Sequence[str], str]]
    """Language -> (marks of its plot, the numbers in words)."""
    axis: Axis
    height: float
    """Of a row."""

    @property
    def svg(self) -> str:
        """The text of the file."""
        wide = LEFT + WIDTH + RIGHT
        tall = TOP + len(self.rows) * (self.height + GAP) + FOOT
        parts = [f'<text class="bold" x="{SIDE}" y="15">{cells.text(self.title)}</text>']
        y = float(TOP)
        for language, (marks, said) in self.rows.items():
            middle = y + self.height / 2 + 4
            parts.append(f'<text x="{SIDE}" y="{middle:.1f}">{cells.text(language)}</text>')
            parts.append(f'<g transform="translate({LEFT} {y:.1f})">{"".join(marks)}</g>')
            parts.append(f'<text x="{LEFT + WIDTH + 6}" y="{middle:.1f}">{cells.text(said)}</text>')
            y += self.height + GAP
        for value in self.axis.ticks:
            place = LEFT + self.axis.x(value)
            parts.append(f'<text x="{place:.1f}" y="{y + 10:.1f}" text-anchor="middle">{value:.3g}</text>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="croco" role="img" aria-label="{cells.text(self.title)}" '
            f'viewBox="0 0 {wide} {tall:.0f}"><style>{STYLE}</style>{"".join(parts)}</svg>'
        )

    def save(self, path: str | Path) -> Path:
        """Write the SVG; returns where."""
        file = Path(path)
        file.write_text(self.svg, encoding="utf-8")
        return file

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg
