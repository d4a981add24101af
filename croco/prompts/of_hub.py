"""Rows of data sets on the hub, or of what its cache holds where there is no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from croco.config import languages, reach
from croco.errors import UserError
from croco.prompts.rows import Found


@dataclass(frozen=True)
class Asked:
    """A data set on the hub, as it is asked for."""

    path: str
    name: str | None = None
    """Of a configuration; None: see `configurations`."""
    split: str = "train"
    revision: str | None = None


def configurations(asked: Asked, wanted: Sequence[str], key: str) -> list[str]:
    """The configurations of a data set that are read: the named one; else those that are called like a wanted language, where
    any is called like a language; else the only one, or that named `default`.

    Raises:
        UserError: the data set cannot be had, or has several and none of these.
    """
    if asked.name is not None:
        return [asked.name]
    there = _names(asked, key)
    if len(there) == 1:
        return there
    called = {name: code for name in there if (code := languages.of_word(name)) is not None}
    some = [name for name, code in called.items() if code in wanted]
    if some or "default" in there:
        return some or ["default"]
    if called:
        raise UserError(f"{key}: '{asked.path}' has no configuration in {', '.join(wanted)}, only {', '.join(there)}")
    raise UserError(f"{_beside(key)}.name: '{asked.path}' has several configurations; name one of {', '.join(there)}")


def _names(asked: Asked, key: str) -> list[str]:
    """Of all configurations; without a network, of those that are in the cache."""
    missing = reach.missing()
    import datasets

    if missing is not None and (cached := _cached(asked)):
        return sorted(cached)
    try:
        return list(datasets.get_dataset_config_names(asked.path, revision=asked.revision))
    except Exception as error:  # of its loaders, its file systems and the network: there is no common class
        raise _refused(asked, key, reach.why(error)) from None


def rows(asked: Asked, wanted: Sequence[str], key: str) -> Iterator[Found]:
    """Every row of a split of a data set on the hub, of each of its configurations that is read.

    Raises:
        UserError: it cannot be had; names the key to change.
    """
    names = configurations(asked, wanted, key)
    for name in names:
        try:
            data = _loaded(asked, name)
        except Exception as error:  # as above
            raise _refused(replace(asked, name=name), key, reach.why(error)) from None
        place = asked.path if len(names) == 1 else f"{asked.path} ({name})"
        for number, row in enumerate(data, start=1):
            yield Found(f"{place}, row {number}", (name,), row)


def _loaded(asked: Asked, name: str) -> Any:
    missing = reach.missing()
    import datasets

    if missing is not None and (folder := _cached(asked).get(name)) is not None:
        from datasets.packaged_modules.cache.cache import Cache

        *_, version, commit = folder.parts
        dataset = asked.path.partition("/")[2]
        cache = Cache(repo_id=asked.path, dataset_name=dataset, config_name=name, version=version, hash=commit)
        return cache.as_dataset(split=asked.split)
    return datasets.load_dataset(asked.path, name, split=asked.split, revision=asked.revision)


def _cached(asked: Asked) -> dict[str, Path]:
    """Configuration -> its folder in the cache at this very commit; without a network `datasets` takes what it loaded last."""
    import datasets
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = asked.path.partition("/")
    root = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(name)}"
    found = root.glob(f"*/*/{asked.revision}") if asked.revision is not None and not Path(asked.path).exists() else ()
    return {folder.parts[-3]: folder for folder in found}


def _beside(key: str) -> str:
    """The group of keys that a key for a path stands in, with the number of a source where there are several."""
    return key.rpartition(".")[0] if key.endswith(".path") else key


def _refused(asked: Asked, key: str, reason: str) -> UserError:
    """What a data set's loader said, with the key to change."""
    group, path = _beside(key), asked.path
    if "unknown split" in reason.lower():
        return UserError(f"{group}.hub_split: '{path}' has no split '{asked.split}' ({reason})")
    if "BuilderConfig" in reason or "Config name is missing" in reason:
        return UserError(f"{group}.name: '{path}' has no configuration '{asked.name}' ({reason})")
    if "gated" in reason.lower():
        return UserError(
            f"{key}: '{path}' is gated: accept its terms at https://huggingface.co/datasets/{path}, "
            "then log in with `hf auth login`, or set HF_TOKEN"
        )
    if reach.missing() is not None and asked.revision is not None:
        of = f", configuration '{asked.name}'" if asked.name else ""
        reason = f"it is not in the cache at {asked.revision[:12]}{of}; `croco fetch` with the run's words brings it; {reason}"
    return UserError(f"{key}: cannot load '{path}' from the hub ({reason}); a local copy works with {key}=FILE")
