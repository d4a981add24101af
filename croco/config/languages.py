"""What conf/language says of each language."""

from __future__ import annotations

import functools

from omegaconf import OmegaConf

from croco.config.paths import CONF


@functools.cache
def english_names() -> dict[str, str]:
    """Language -> its name in English."""
    return {file.stem: str(OmegaConf.load(file).english_name) for file in sorted((CONF / "language").glob("*.yaml"))}
