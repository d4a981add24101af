"""Where the configuration lies, and the resolvers that its files use."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

from croco import tiny

CONF = Path(__file__).parent.parent.parent / "conf"

OmegaConf.register_new_resolver("repository", lambda: str(CONF.parent), replace=True)
OmegaConf.register_new_resolver("tiny_model", lambda name: str(tiny.MODELS / name), replace=True)
OmegaConf.register_new_resolver("cores", lambda: len(os.sched_getaffinity(0)), replace=True)
