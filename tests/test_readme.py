"""What README.md says is so: its commands compose, its make targets and files exist."""

from __future__ import annotations

import re
import shlex
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.config import CONF, Config, strict

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
RUNS = [line.split("#")[0].strip() for line in TEXT.splitlines() if line.startswith("    python -m croco.run")]
WALKS = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split("## Two walks")[1].split("\n## ")[0]
RUNS += [  # the walks' commands take the words of a run, whatever is done with them
    "python -m croco.run " + re.sub(r"^croco \w+", "", line.split("#")[0].strip()).strip()
    for line in (*WALKS.splitlines(), *TEXT.splitlines())
    if re.match(r"    croco (?:run|doctor|fetch) .*=", line)
]
PLACEHOLDERS = {
    "data.path=FILE_OR_FOLDER": "data.path=tests",
    "FILE_OR_FOLDER": "x.jsonl",
    "CHECKPOINT": "x",
    "FILE.jinja": "x.jinja",
    "module:name": "croco.errors:UserError",
}


@pytest.mark.parametrize("command", RUNS)
def test_every_run_of_the_readme_composes(command: str) -> None:
    for placeholder, value in PLACEHOLDERS.items():
        command = command.replace(placeholder, value)
    command = command.replace("range(8)", "0,7")
    words = [w for w in shlex.split(command)[3:] if not w.startswith("-") and w != "job"]
    sweeps = [
        [f"{key}={choice}" for choice in ([values] if values.startswith("[") else values.split(","))]
        for key, _, values in (w.partition("=") for w in words)
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in product(*sweeps):
            assert isinstance(strict(compose("config", overrides=list(overrides))), Config)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|^    )make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"demo", "test", "help", "setup"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_tree_names_every_room_and_nothing_else() -> None:
    tree = TEXT[TEXT.index("    conf/  ") : TEXT.index("## To add")]
    rooms = {p.name for p in (ROOT / "croco").iterdir() if p.suffix == ".py" and p.stem != "__init__"}
    rooms |= {f"{p.parent.name}/" for p in (ROOT / "croco").glob("*/__init__.py")}
    lines = re.findall(r"^      ((?:\w+(?:\.py|/) ?)+)", tree[tree.index("    croco/") :], re.MULTILINE)
    named = {name for line in lines for name in line.split()}
    assert named == rooms


def test_figures_are_those_of_the_benchmarks() -> None:
    """Every row of a table in the chapter on figures is a row of a file under benchmarks/results."""
    chapter = (ROOT / "README.md").read_text(encoding="utf-8").split("## Figures")[1].split("\n## ")[0]
    rows = [line.strip() for line in chapter.splitlines() if line.strip().startswith("|")]
    measured = {row for file in (ROOT / "benchmarks" / "results").glob("*.md") for row in file.read_text().splitlines()}
    assert rows
    assert set(rows) <= measured
