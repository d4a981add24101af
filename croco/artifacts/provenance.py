"""What made a result: versions, commit, and the fingerprint of a model on disk."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("croco", "torch", "transformers", "peft", "lightning", "datasets", "hydra-core", "vllm", "pyarrow", "numpy")
WHOLE_FILE_LIMIT = 64 * 2**20
BLOCK = 2**20
COUNTED = {".json", ".safetensors", ".jinja", ".model", ".txt", ".tiktoken", ".py"}
"""Kinds of files that decide what a checkpoint computes: weights, settings, tokenizers, templates, code of its own."""
BLOCKS = 64


@functools.cache
def of_this_process() -> dict[str, Any]:
    """Versions of the packages that matter, Python, the commit of the code and whether it had uncommitted changes."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "python": platform.python_version(), "git": _commit()}


def _commit() -> str | None:
    """`<hash>` or `<hash>+changes` of the checkout this code runs from; None outside a checkout."""
    here = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != here.parent.resolve():
            return None  # installed below somebody else's checkout
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def fingerprint(path: Path) -> str:
    """Hash of a checkpoint folder's content, independent of where it lies.

    Files up to 64 MiB are hashed whole; larger ones by their size and 64 evenly spaced blocks of 1 MiB, which keeps an 18 GB
    checkpoint under a second of reading. Only files that decide what the model computes count.
    """
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.suffix in COUNTED):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}:".encode())
        with file.open("rb") as handle:
            if size <= WHOLE_FILE_LIMIT:
                digest.update(handle.read())
                continue
            for block in range(BLOCKS):
                handle.seek(block * (size - BLOCK) // (BLOCKS - 1))
                digest.update(handle.read(BLOCK))
    return digest.hexdigest()[:16]
