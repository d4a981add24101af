"""The study's figures as SVG files that are light or dark as their reader is, drawn from docs/study.json."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.study import arms
from benchmarks.study.claims import OPEN, STRUCTURED
from croco.page.marks import ticks

LIGHT = "--ink: #1b1b1b; --faint: #767676; --grid: #dddddd; --paper: #ffffff; --up: 0,114,178; --down: 213,94,0"
DARK = "--ink: #ececec; --faint: #a0a0a0; --grid: #3a3a3a; --paper: #161616; --up: 86,180,233; --down: 230,159,0"
STYLE = f"""<style>
svg {{ font: 13px system-ui, sans-serif; {LIGHT} }}
@media (prefers-color-scheme: dark) {{ svg {{ {DARK} }} }}
.paper {{ fill: var(--paper) }} text {{ fill: var(--ink) }} .faint {{ fill: var(--faint) }} .head {{ font-weight: 600 }}
.grid {{ stroke: var(--grid) }} .zero {{ stroke: var(--faint) }}
.bar, .line {{ stroke: rgb(var(--up)); stroke-width: 2; fill: none }} .less {{ stroke: rgb(var(--down)) }}
.dot, .up {{ fill: rgb(var(--up)) }} .less.dot, .down {{ fill: rgb(var(--down)); stroke: none }} .cell {{ stroke: var(--paper) }}
</style>"""
ROW, TOP, LEFT, PANEL, GAP = 24, 62, 132, 300, 56
SEEDS = ("lowest", "highest")
"""Of the seeds' differences; null where there is one seed."""
ENDS = ("low", "high", *SEEDS)
NAMES = {OPEN: "open tasks: what the preferences are about", STRUCTURED: "structured tasks: in no preference"}


NOTES = {OPEN: "quality, tuned minus base, 95% interval", STRUCTURED: "strokes: the lowest and the highest seed"}


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(title)}"><title>{html.escape(title)}</title>{STYLE}'
        f'<rect class="paper" width="100%" height="100%"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{html.escape(said)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def of_arms(study: Mapping[str, Any], names: Sequence[str]) -> str:
    """Each arm's quality against base on both kinds of tasks: mean over languages with its interval, one axis for both panels."""
    rows = [(name, study["arms"][name]) for name in names]
    ends = [of[tasks][end] for _, of in rows for tasks in NAMES for end in ENDS if of[tasks][end] is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = 0.04 * (high - low)
    low, high = low - margin, high + margin
    bottom = TOP + ROW * len(rows)
    parts = []
    for panel, (tasks, title) in enumerate(NAMES.items()):
        left = LEFT + panel * (PANEL + GAP)
        parts.append(_text(left, 22, title, "head"))
        parts.append(_text(left, 40, NOTES[tasks], "faint"))
        for tick in ticks(low, high, 6):
            x = left + (tick - low) / (high - low) * PANEL
            parts.append(_line(x, TOP - 6, x, bottom, "zero" if tick == 0 else "grid"))
            parts.append(_text(x, bottom + 16, f"{tick:+g}" if tick else "0", "faint", "middle"))
        for number, (name, of) in enumerate(rows):
            y = TOP + ROW * number + ROW / 2
            if panel == 0:
                parts.append(_text(LEFT - 12, y + 4, name, anchor="end"))
            effect = of[tasks]
            at = {
                key: left + (effect[key] - low) / (high - low) * PANEL
                for key in (*ENDS, "difference")
                if effect[key] is not None
            }
            kind = " less" if effect["difference"] < 0 else ""
            parts.append(_line(at["low"], y, at["high"], y, f"bar{kind}"))
            parts += [_line(at[key], y - 6, at[key], y + 6, f"bar{kind}") for key in SEEDS if key in at]
            parts.append(f'<circle cx="{at["difference"]:.1f}" cy="{y:.1f}" r="4.5" class="dot{kind}"/>')
            parts.append(_text(left + PANEL + 4, y + 4, f"{effect['difference']:+.3f}", "faint"))
    return _svg(LEFT + 2 * PANEL + GAP + 60, bottom + 30, "Quality of each arm against the base policy", parts)


def of_points(study: Mapping[str, Any]) -> str | None:
    """The point pairs as a matrix, chosen by row, rejected by column: gain in quality on open tasks; None without any."""
    found = {
        (high, low): study["arms"][f"{high}_{low}"][OPEN]["difference"]
        for place, high in enumerate(arms.POINTS)
        for low in arms.POINTS[place + 1 :]
        if f"{high}_{low}" in study["arms"]
    }
    if not found:
        return None
    cell, left, top = 84, 100, 70
    most = max(abs(value) for value in found.values()) or 1.0
    parts = [
        _text(12, 22, "Quality, tuned minus base, by the points that are paired", "head"),
        _text(12, 42, "open tasks; rows: chosen; columns: rejected; one seed each", "faint"),
    ]
    for column, low in enumerate(arms.POINTS[1:]):
        parts.append(_text(left + cell * column + cell / 2, top - 6, WRITTEN[low], "faint", "middle"))
    for row, high in enumerate(arms.POINTS[:-1]):
        parts.append(_text(left - 8, top + 36 * row + 23, WRITTEN[high], "faint", "end"))
        for column, low in enumerate(arms.POINTS[1:]):
            if (high, low) in found:
                value = found[high, low]
                x, y = left + cell * column, top + 36 * row
                kind = "up" if value >= 0 else "down"
                shade = f"{0.15 + 0.6 * abs(value) / most:.2f}"
                place = f'x="{x}" y="{y}" width="{cell}" height="36"'
                parts.append(f'<rect {place} class="cell {kind}" opacity="{shade}"/>')
                parts.append(_text(x + cell / 2, y + 23, f"{value:+.3f}", "", "middle"))
    return _svg(left + cell * 6 + 20, top + 36 * 6 + 16, "Gain by the reward points that are paired", parts)


WRITTEN = {"max": "max", "mu": "mean", "min": "min"} | {
    f"mu_{word}_{times}s": f"mean {sign} {times + ' ' if times else ''}sd"
    for word, sign in (("plus", "+"), ("minus", "−"))
    for times in ("", "2")
}


def of_steps(study: Mapping[str, Any]) -> str | None:
    """Proxy and gold over training, a panel each, a line per beta with its name at its end; None before they are there."""
    lines = study["steps"]
    if not lines:
        return None
    width, height, top = 300, 190, 62
    parts = []
    for panel, (key, title) in enumerate(
        (("proxy", "proxy: what the reward model says"), ("gold", "gold: what the grader says"))
    ):
        left = 60 + panel * (width + 130)
        values = [point[key] for of in lines.values() for point in of]
        steps = [point["step"] for of in lines.values() for point in of]
        low, high = min(values), max(values)
        low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
        parts += [_text(left, 22, title, "head"), _text(left, 40, "open tasks, mean over languages and seeds", "faint")]
        for tick in ticks(low, high, 5):
            y = top + height - (tick - low) / (high - low) * height
            parts += [_line(left, y, left + width, y, "grid"), _text(left - 6, y + 4, f"{tick:g}", "faint", "end")]
        for tick in ticks(0, max(steps), 5):
            x = left + tick / max(steps) * width
            parts.append(_text(x, top + height + 18, f"{tick:g}", "faint", "middle"))
        parts.append(_text(left + width / 2, top + height + 36, "optimiser steps", "faint", "middle"))
        ends = []
        for name, of in lines.items():
            places = [
                (left + p["step"] / max(steps) * width, top + height - (p[key] - low) / (high - low) * height)
                for p in of
            ]
            parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
            parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
            ends.append((places[-1][1], name))
        above = -1e9
        for y, name in sorted(ends):
            above = max(y, above + 15)
            parts.append(_text(left + width + 8, above + 4, name.replace("_", " ")))
    return _svg(60 + 2 * (width + 130), top + height + 48, "Proxy and gold over training", parts)
