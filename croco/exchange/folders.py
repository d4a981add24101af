"""What all folders for the hub have in common: linked files, and what a card says of how a thing was made."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from croco.artifacts import store


def link(source: str, target: str) -> str:
    """A second name of the file; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def local(path: str) -> bool:
    """Whether a model or data set is of this machine, and no repository."""
    return Path(path).exists() or path.count("/") != 1 or path.startswith((".", "/", "~"))


def fenced(settings: str) -> str:
    """YAML as a block of code, whatever stands in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", settings)), default=0))
    return f"{fence}yaml\n{settings}{fence}"


def made_by(artifact: store.Artifact) -> str:
    """Commit, address and versions."""
    manifest = artifact.manifest
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    return f"Made by croco ({manifest['git']}), artifact `{artifact.stage}/{artifact.path.name}`, with {versions}."
