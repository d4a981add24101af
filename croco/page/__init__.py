"""The page of a run or a comparison: one HTML file that needs nothing else, made from what is on disk."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from croco.evals.comparing import changes
from croco.page import forest, multiples
from croco.page import pairs as drawn_pairs
from croco.page.answers import Answer as Answer
from croco.page.answers import both
from croco.page.curves import Curve, curve
from croco.show.tables import Table, cell
from croco.show.visible import visible

HERE = Path(__file__).parent
HEADINGS = {
    changes.BETTER: "Better",
    changes.WORSE: "Worse",
    changes.OTHER: "Changed",
    changes.SAME: "No difference seen",
}
ALWAYS = ("Better", "Worse")


@dataclass(frozen=True)
class Page:
    """What the page shows, in the order it shows it."""

    title: str
    headline: str
    tables: Sequence[Table]
    """Results; one with a column before its `low` and `high` has its plot above it."""
    measures: Sequence[multiples.Multiples] = ()
    """Measures by language, before any table."""
    pairs: drawn_pairs.Pairs | None = None
    numbers: Sequence[Table] = ()
    """Tables whose numbers `measures` and `pairs` draw: shut at first."""
    curves: Sequence[Curve] = ()
    answers: Sequence[Answer] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    more: Sequence[Table] = ()
    """Tables that are shut at first: lineage, costs."""
    verdict: str = ""
    warnings: Sequence[str] = ()
    forests: Mapping[str, forest.Forest | multiples.Multiples] = field(default_factory=dict)
    """Title of a table -> the plot above it, instead of the table's own."""
    changed: Sequence[changes.Change] = ()
    """What got better, worse or neither, told before any table."""


def render(page: Page) -> str:
    """The HTML text; everything that came from a model or a user is escaped.

    The browser is told to load nothing from anywhere and to run no script but the page's own, by its hash.
    """
    import jinja2
    import yaml

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters["cell"] = cell
    environment.globals |= {"plot": curve, "multiply": multiples.render, "draw_pairs": drawn_pairs.render, "both": both}
    environment.filters["sentence"] = changes.sentence
    script = (HERE / "page.js").read_text(encoding="utf-8").strip()
    return environment.get_template("page.html.jinja").render(
        page=page,
        languages=_languages(page),
        outcomes=sorted({answer.outcome for answer in page.answers} - {""}),
        checks=sorted({check for answer in page.answers for check in answer.checks}),
        verdicts=_verdicts(page),
        forests={table.title: drawn for table in page.tables if (drawn := _drawn(page, table))},
        settings=yaml.safe_dump(dict(page.settings), sort_keys=False, allow_unicode=True),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _shown(value: Any) -> Any:
    """Text with what hides or turns it around written out, before it is escaped; what is HTML already stays."""
    return visible(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _verdicts(page: Page) -> list[tuple[str, list[changes.Change]]]:
    """(heading, measures), the changes for better and worse first and always there where anything was measured."""
    if not page.changed:
        return []
    told = [(heading, [one for one in page.changed if one.verdict == verdict]) for verdict, heading in HEADINGS.items()]
    return [(heading, found) for heading, found in told if found or heading in ALWAYS]


def _drawn(page: Page, table: Table) -> str:
    """The picture above a table, where it has one: of several measures a column each, for each its own axis."""
    drawn = page.forests.get(table.title) or multiples.of_table(table) or forest.of_table(table)
    if drawn is None:
        return ""
    if isinstance(drawn, multiples.Multiples):
        return multiples.render(drawn)
    return forest.svg(drawn)


def _languages(page: Page) -> list[str]:
    """Those a reader can choose: of the results and of the answers."""
    found = dict.fromkeys(answer.language for answer in page.answers)
    found |= dict.fromkeys(language for one in page.measures for column in one.columns for language in column.cells)
    for table in page.tables:
        if "language" in table.columns:
            place = list(table.columns).index("language")
            found |= dict.fromkeys(row[place] for row in table.rows if isinstance(row[place], str))
    return [language for language in found if language not in forest.TOTALS]
