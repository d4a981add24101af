"""Which files of one's own a module's text depends on: what it imports from its own package, and so on.

A top-level module's own are those beside it; what was installed as a single file has none. Imports inside functions count. Of
this package the rooms that do nothing to a text are left out, or every change of the configuration would score again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}
PLUMBING = ("croco.artifacts", "croco.cli", "croco.config", "croco.errors", "croco.show")


@functools.cache
def imports_of(name: str) -> dict[str, str]:
    """Module -> digest of its text, of all that `name` imports of its own, `name` left out."""
    found: dict[str, str] = {}
    left, root = [name], _root(name)
    while left:
        here = left.pop()
        for imported in _imported(here):
            if root is None or imported in found or imported == name or imported.startswith(PLUMBING):
                continue
            if not _within(root, _file(imported.split(".")[0])):  # nothing is imported to find out
                continue
            file = _file(imported)
            if file is None or not _within(root, file):
                continue
            found[imported] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            left.append(imported)
    return dict(sorted(found.items()))


def _root(name: str) -> Path | None:
    """The folder of its package, or the folder that it lies in."""
    file = _file(name.split(".")[0])
    installed = file is None or (file.parent.name in INSTALLED and file.name != "__init__.py")
    return None if file is None or installed or name.split(".")[0] in sys.stdlib_module_names else file.parent


def _within(root: Path, file: Path | None) -> bool:
    return file is not None and file.is_relative_to(root) and not INSTALLED & set(file.relative_to(root).parts)


@functools.cache
def _file(name: str) -> Path | None:
    try:
        found = importlib.util.find_spec(name)
    except Exception:  # no such module, a parent that is no package, or one that fails when it is imported
        return None
    origin = None if found is None else found.origin
    return Path(origin) if origin and origin.endswith(".py") else None


def _imported(name: str) -> Iterator[str]:
    """Every name that may be a module, absolute."""
    file = _file(name)
    if file is None:
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # it is told where it is imported
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            before = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*before, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
