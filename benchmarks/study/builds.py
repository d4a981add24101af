"""Models of the embedded world that were pretrained otherwise, for the questions of what pretraining gave to the method.

They are built by the recipe of croco/tiny/build.py, once, under the study's artifacts; tens of minutes each on a core.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from croco.tiny import build, writer

SHARES = {"en": 0.40, "de": 0.20, "fr": 0.15, "es": 0.11, "it": 0.08, "nl": 0.04, "da": 0.02}
"""Of the texts that the uneven policy has read; the shipped one has read a seventh in each language."""


def folder(artifacts: Path | str, name: str) -> str:
    """Where a build lies; its last part names its recipe."""
    return f"{artifacts}/builds/{name}"


def apart(artifacts: Path) -> Path:
    """The reward model's backbone without a text in two languages."""
    return _once(Path(folder(artifacts, "apart/backbone")), lambda out: build.backbone(out, print, parallel=False))


def uneven(artifacts: Path) -> Path:
    """The policy, with languages as unequal as in real pretraining data."""
    return _once(
        Path(folder(artifacts, "uneven/policy")),
        lambda out: build.policy_of(out, print, 0, writer.MIXED, build.shape(128, 4, 384, 4), SHARES),
    )


def _once(out: Path, make: Callable[[Path], None]) -> Path:
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        make(out)
    return out


BUILDS = {"apart": apart, "uneven": uneven}
"""Arm -> what it needs."""
