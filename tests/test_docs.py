"""The pages under docs/: links lead somewhere, what a command writes is what it writes now, numbers are measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import costs
from benchmarks.study import write
from croco.config import reference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """As GitHub and MkDocs make them of headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_in_the_site() -> None:
    """A page that the menu leaves out is found by nobody."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {page.name for page in DOCS.glob("*.md")} == set(re.findall(r"[\w-]+\.md", menu))


def test_every_key_stands_in_the_configuration_page() -> None:
    """`python -m croco.config.reference > docs/configuration.md` after a change of keys, choices or their meaning."""
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == reference.markdown()


def test_the_study_says_what_was_measured() -> None:
    """Page, figures and the README's part are a pure function of docs/study.json: `python -m benchmarks.study --page`."""
    study = json.loads((DOCS / "study.json").read_text(encoding="utf-8"))
    assert (DOCS / "study.md").read_text(encoding="utf-8") == write.page(study)
    for name, drawing in write.drawings(study).items():
        assert (DOCS / name).read_text(encoding="utf-8") == drawing
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert write.with_core(readme, study) == readme


def test_figures_are_those_of_the_benchmarks() -> None:
    """Every row of a table on the page of figures is a row of a file under benchmarks/results."""
    rows = [line.strip() for line in (DOCS / "performance.md").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row.startswith("|")]
    measured = {row for file in (ROOT / "benchmarks" / "results").glob("*.md") for row in file.read_text().splitlines()}
    assert rows
    assert set(rows) <= measured


def test_the_costs_of_scale_are_those_of_the_module() -> None:
    """`python benchmarks/costs.py` after a change of rates or counts."""
    text = costs.FILE.read_text(encoding="utf-8")
    assert costs.written(text) == text
