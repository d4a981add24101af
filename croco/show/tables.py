"""A table of results as data, which stages put into their summaries and the page sorts; and as text, Markdown or LaTeX."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console, JustifyMethod, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable

from croco.show.visible import visible

WIDTH = 128
LEAST = 2  # columns that a table keeps
MISSING = "–"
MARKUP = re.compile(r"([|`\[])")


@dataclass(frozen=True)
class Table:
    """Columns of text or numbers; numbers sort as numbers. The first column names the rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    digits: int = 3
    """Decimals that are shown; the values keep all of theirs."""


def cell(value: Any, digits: int) -> str:
    """A value as a person reads it: None as a dash, floats rounded, integers in groups of three digits."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, int):
        return f"{value:,}"
    return visible(" ".join(str(value).splitlines()) if "\n" in str(value) else str(value))


def terminal() -> int:
    """Columns of the terminal that is written to; WIDTH where it is none."""
    return shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH


def fitted(table: Table, width: int) -> Table:
    """Without as many of the last columns as make it wider than that; its note says how many are left out."""
    needed = []
    for number, column in enumerate(table.columns):
        cells = [len(cell(row[number], table.digits)) for row in table.rows]
        needed.append(1 + max([*cells, *map(len, column.split())], default=0))
    kept = len(needed)
    while kept > LEAST and sum(needed[:kept]) > width:
        kept -= 1
    if kept == len(needed):
        return table
    more = len(needed) - kept
    note = f"{more} more column{'s' * (more > 1)} on a wider terminal. {table.note}".rstrip()
    return replace(table, columns=table.columns[:kept], rows=[row[:kept] for row in table.rows], note=note)


def rich_table(table: Table) -> RenderableType:
    """For a rich console."""
    shown = RichTable(
        title=escape(visible(table.title)), title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(table.columns):
        justify: JustifyMethod = "right" if number and len(table.columns) > 2 else "left"
        longest = max(map(len, column.split()), default=0)  # a head is wrapped between words, never cut
        shown.add_column(escape(visible(column)), justify=justify, header_style="", min_width=longest)
    for row in table.rows:
        shown.add_row(*(escape(cell(value, table.digits)) for value in row))
    return shown


def text(tables: Sequence[Table], width: int | None = None) -> str:
    """The tables one after the other, each with its note, as plain lines; by default as wide as the terminal."""
    out = io.StringIO()
    columns = width or terminal()
    console = Console(file=out, width=columns)
    for number, table in enumerate(fitted(table, columns) for table in tables):
        if number:
            console.print()
        console.print(rich_table(table))
        if table.note:
            console.print(escape(visible(table.note, lines=True)), style="dim")
    return out.getvalue()


def markdown(table: Table) -> str:
    """GitHub's Markdown: title, table, note."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(plain_markdown, cells)) + " |"

    marks = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [line([cell(value, table.digits) for value in row]) for row in table.rows]
    parts = ["\n".join([line(table.columns), line(marks), *rows])]
    parts = [f"**{plain_markdown(table.title)}**", *parts] if table.title else parts
    return "\n\n".join([*parts, visible(table.note, lines=True).replace("<", "&lt;")] if table.note else parts)


def plain_markdown(value: str) -> str:
    """As text: no HTML, no link, no picture, no column of its own."""
    return MARKUP.sub(r"\\\1", visible(value)).replace("<", "&lt;")


IN_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    MISSING: "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _in_latex(value: str) -> str:
    return "".join(IN_LATEX.get(sign, sign) for sign in visible(value.replace("\n", " ")))


def latex(tables: Sequence[Table]) -> str:
    """The tables one after the other, for a document that loads booktabs; titles and notes are captions."""
    parts = []
    for table in tables:
        lines = [list(table.columns), *([cell(value, table.digits) for value in row] for row in table.rows)]
        head, *body = [" & ".join(map(_in_latex, line)) + r" \\" for line in lines]
        caption = f"{table.title}. {table.note}" if table.note else f"{table.title}."
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
                    r"\toprule",
                    head,
                    r"\midrule",
                    *body,
                    r"\bottomrule",
                    r"\end{tabular}",
                    rf"\caption{{{_in_latex(caption)}}}",
                    r"\end{table}",
                    "",
                ]
            )
        )
    return "\n".join(parts)
