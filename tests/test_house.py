"""The house itself: imports point one way, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(ROOT.glob("croco/**/*.py"))
LAYERS = (
    ("errors", "maths", "show"),
    ("artifacts",),
    ("config",),
    ("cli", "language"),
    ("models",),
    ("pairing", "prompts"),
    ("engines",),
    ("evals", "rewards", "tiny", "training"),
    ("page", "tracking"),
    ("stages",),
    ("exchange",),
    ("jobs",),
    (
        "run",
        "doctor",
        "status",
        "compare",
        "export",
        "clean",
        "reproduce",
        "pack",
        "unpack",
        "fetch",
        "import_published",
        "workspace",
        "completion",
    ),
    ("experiment", "merge", "__main__"),
)
"""Folders, then commands; a file imports from its own level and those before."""
ONLY_IN = {
    "vllm": ("engines",),
    "ray": ("engines",),
    "wandb": ("tracking",),
    "trl": (),
    "lightning": ("training",),
    "peft": ("training", "models"),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "croco").with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def layer(module: str) -> int:
    room = module.split(".")[0]
    found = [level for level, rooms in enumerate(LAYERS) if room in rooms]
    assert found, f"croco.{room} stands on no level; add it to LAYERS"
    return found[0]


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> list[str]:
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p)], ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    here = name_of(path)
    for imported in imports(path):
        if (
            imported.startswith("croco.")
            and (ROOT / Path(*imported.split(".")[:2])).with_suffix(".py").exists()
            | (ROOT / Path(*imported.split(".")[:2])).is_dir()
        ):
            target = imported.removeprefix("croco.")
            assert layer(target) <= layer(here), f"croco.{here} imports {imported}, which stands above it"
        library = imported.split(".")[0]
        if library in ONLY_IN:
            assert here.startswith(ONLY_IN[library]), f"croco.{here} imports {library}"


SHARED = ("croco.stages.base", "croco.stages.answers", "croco.stages.templates")


def test_stages_do_not_import_one_another() -> None:
    for path in ROOT.glob("croco/stages/**/*.py"):
        if path.stem in ("__init__", "base", "answers", "templates"):
            continue
        for imported in imports(path):
            assert not imported.startswith("croco.stages") or imported.startswith(SHARED), path


def test_nothing_is_unpickled() -> None:
    """A pickle is a program: what lies in an artifact's folder may be anybody's. torch loads weights alone."""
    for path in MODULES:
        for imported in imports(path):
            assert imported.split(".")[0] not in {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}, path
        for node in nodes(path):
            if not isinstance(node, ast.Call):
                continue
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given.get("weights_only", "True") == given.get("safe_serialization", "True") == "True", path
            assert ast.unparse(node.func) != "torch.load" or "weights_only" in given, path
            assert given.get("allow_pickle", "False") == "False", path


@pytest.mark.slow
def test_every_module_imports_without_the_extras() -> None:
    """In a process of its own in which the extras cannot be imported."""
    program = (
        "import sys, importlib\n"
        "for missing in ('vllm', 'ray', 'trl', 'submitit', 'wandb_workspaces', 'euroeval'): sys.modules[missing] = None\n"
        f"for name in {[f'croco.{name_of(p)}'.rstrip('.') for p in MODULES]!r}:\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
