"""What README.md and docs/ say is so: their commands compose, make targets and files exist."""

from __future__ import annotations

import re
import shlex
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from croco.cli.planned import OF_A_PLAN
from croco.config import CONF, Config, strict

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [TEXT, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
ASKED = re.compile(r"    (?:python -m croco\.run|python -m croco\.doctor|croco (?:run|doctor|fetch))(?= .*=|$)(.*)")
RUNS = sorted(  # what takes the words of a run, whatever is done with them
    {
        "python -m croco.run " + found[1].split("#")[0].strip()
        for page in PAGES
        for line in page.splitlines()
        if (found := ASKED.match(line.split("#")[0].rstrip()))
    }
)
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
    command = re.sub(r"range\((\d+)\)", "0,7", command)
    words = [w for w in shlex.split(command)[3:] if not w.startswith(("-", *OF_A_PLAN)) and w != "job"]
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
