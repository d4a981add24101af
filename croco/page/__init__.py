"""The page of a run: one HTML file that needs nothing else, made from what is on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from croco.page.curves import Curve, curve
from croco.tables import Table, cell


@dataclass(frozen=True)
class Answer:
    """The same prompt answered by base and tuned policy."""

    language: str
    prompt: str
    base: str
    tuned: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """What the page shows, in the order it shows it."""

    title: str
    headline: str
    tables: Sequence[Table]
    curves: Sequence[Curve]
    answers: Sequence[Answer]
    settings: Mapping[str, Any]
    lineage: Mapping[str, str]
    costs: Table | None = None
    verdict: str = ""
    warnings: Sequence[str] = field(default_factory=tuple)


def render(page: Page) -> str:
    """The HTML text; everything that came from a model or a user is escaped."""
    import jinja2
    import yaml

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("croco.page", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    return environment.get_template("page.html.jinja").render(
        page=page,
        plots=[(c.title, curve(c)) for c in page.curves],
        settings=yaml.safe_dump(dict(page.settings), sort_keys=False, allow_unicode=True),
    )
