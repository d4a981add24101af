"""Which commit of a hub repository a run means: asked once, then loaded, addressed and written down as that commit.

`main` moves. A name that stays the same while the weights change would make two models share an address.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.\-]+/[\w.\-]+")
TIMEOUT = 10.0  # seconds for the hub's answer
NAMED = {  # configuration class -> the key beside `revision` that names the repository
    "ModelConfig": "path",
    "RewardConfig": "path",
    "JudgeConfig": "path",
    "SystemConfig": "path",
    "SourceConfig": "model",
    "TranslationConfig": "model",
}
DATA = dict.fromkeys(("PromptsConfig", "DataConfig", "ArenaConfig", "RewardRankingConfig", "PreferencesConfig"), "path")


@functools.cache
def commit_of(repository: str, revision: str | None, kind: str = "model") -> str | None:
    """The commit that a branch or a tag stands for: the hub's word, else what the cache holds; None where neither knows.

    Args:
        kind: `model` or `dataset`.
    """
    wanted = revision or "main"
    if COMMIT.fullmatch(wanted) or not REPOSITORY.fullmatch(repository) or Path(repository).exists():
        return wanted if COMMIT.fullmatch(wanted) else None
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        found = HfApi().repo_info(repository, revision=wanted, repo_type=kind, timeout=TIMEOUT).sha
        return None if found is None else str(found)
    except Exception:  # the hub's and its HTTP library's own, of many kinds; offline is one of them
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
        reference = folder / "refs" / wanted
        return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def pinned(config: Any) -> Any:
    """A configuration whose hub models and data sets are named by commit; what neither hub nor cache knows stays as it is."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return config
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, list):
            inner: Any = [pinned(item) for item in value]
        else:
            inner = pinned(value)
        if inner is not value and inner != value:
            changed[field.name] = inner
    kind = type(config).__name__
    revision = getattr(config, "revision", None)
    key = NAMED.get(kind) or DATA.get(kind)
    if key is not None and getattr(config, key) is not None and getattr(config, "kind", None) != "endpoint":
        commit = commit_of(str(getattr(config, key)), revision, "dataset" if kind in DATA else "model")
        if commit is not None and commit != revision:
            changed["revision"] = commit
    return dataclasses.replace(config, **changed) if changed else config
