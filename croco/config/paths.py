"""Where the configuration lies, the user's own beside it, and the resolvers that its files use.

What the working folder holds as `conf/GROUP/NAME.yaml` and `experiments/NAME.yaml` comes before what is shipped, so that a
language, a model or an experiment of one's own needs no copy of this repository.

A job of a sweep lies where its resolved configuration says, and the sweep where its command does: neither holds a time, so a job
that is queued again, or called again, finds what it left.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf

from croco.artifacts import addresses
from croco.errors import UserError

PACKAGE = Path(__file__).parents[1]
CONF = next(folder / "conf" for folder in (PACKAGE.parent, PACKAGE) if (folder / "conf" / "config.yaml").is_file())
"""Beside the package in a checkout; within it where a wheel was installed."""
EXPERIMENTS = CONF.parent / "experiments"
MODELS = PACKAGE / "tiny" / "models"
CONF_NAME, EXPERIMENTS_NAME = CONF.name, EXPERIMENTS.name


def own(name: str) -> Path | None:
    """The working folder's `conf` or `experiments`; None where there is none, or where it is the shipped one."""
    folder = Path.cwd() / name
    shipped = CONF.parent / name
    return folder if folder.is_dir() and not (shipped.is_dir() and folder.samefile(shipped)) else None


def files(group: str) -> dict[str, Path]:
    """Name -> YAML of every choice of a group (`experiments` among them), the user's own in the place of a shipped one."""
    inside = "" if group == EXPERIMENTS_NAME else group
    name = EXPERIMENTS_NAME if group == EXPERIMENTS_NAME else CONF_NAME
    folders = [folder for folder in (CONF.parent / name, own(name)) if folder is not None]
    return {path.stem: path for folder in folders for path in sorted((folder / inside).glob("*.yaml"))}


class OwnFolders(SearchPathPlugin):
    """Hydra's way to files beside the shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        conf, experiments = own(CONF_NAME), own(EXPERIMENTS_NAME)
        if conf is not None:
            search_path.prepend("own", f"file://{conf}", "main")
        if experiments is not None:
            search_path.append("own", f"file://{experiments.parent}")  # Hydra's group is the folder `experiments` in it


Plugins.instance().register(OwnFolders)


def union(*sets: Iterable[str]) -> list[str]:
    """Every name once, in the order in which it first comes."""
    return list(dict.fromkeys(itertools.chain(*sets)))


def sized(size: str, sizes: Mapping[str, str]) -> str:
    """The checkpoint of a size.

    Raises:
        UserError: there is none.
    """
    if not sizes:
        raise UserError("model.path: this choice leaves it to you; give model.path=...")
    if str(size) not in sizes:
        raise UserError(f"model.size: there is {', '.join(map(str, sizes))}, and no '{size}'; or give model.path")
    return str(sizes[str(size)])


OmegaConf.register_new_resolver("repository", lambda: str(CONF.parent), replace=True)
OmegaConf.register_new_resolver("tiny_model", lambda name: str(MODELS / name), replace=True)


def fetched_folder(name: str) -> Path:
    """Where `croco fetch NAME` puts its checkpoint: below CROCO_CACHE, or the user's cache folder."""
    cache = os.environ.get("CROCO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "croco"
    return Path(cache) / "models" / name


def fetched(name: str, hub: str) -> str:
    """What `croco fetch` has brought, or else the hub's id."""
    folder = fetched_folder(name)
    return str(folder) if folder.is_dir() else hub


def chat_template(name: str) -> str:
    """The file of a chat template that comes with the project, for base models that have none."""
    return str(PACKAGE / "models" / "templates" / f"{name}.jinja")


OmegaConf.register_new_resolver("fetched", fetched, replace=True)
OmegaConf.register_new_resolver("chat_template", chat_template, replace=True)
OmegaConf.register_new_resolver("sized", sized, replace=True)
OmegaConf.register_new_resolver("union", lambda sets: ListConfig(union(*sets.values())), replace=True)
OmegaConf.register_new_resolver("cores", lambda: len(os.sched_getaffinity(0)), replace=True)


def _without_hydra(root: DictConfig) -> dict[str, Any]:
    part = OmegaConf.masked_copy(root, [str(key) for key in root if key != "hydra"])
    resolved = OmegaConf.to_container(part, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def run_address(_root_: DictConfig) -> str:
    """Of the run that the configuration describes."""
    return addresses.of_run(_without_hydra(_root_))


def sweep_name(_root_: DictConfig) -> str:
    """The experiment's name, if there is one, and the address of the sweep."""
    hydra = _root_.hydra
    axes = OmegaConf.to_container(OmegaConf.create(dict(hydra.sweeper.get("params") or {})))
    address = addresses.of_sweep(_without_hydra(_root_), {"params": axes}, list(hydra.overrides.task))
    chosen = re.sub(r"\W+", "_", str(hydra.runtime.choices.get("experiments") or "sweep")).strip("_")
    return f"{'sweep' if chosen == 'None' else chosen}-{address}"


OmegaConf.register_new_resolver(
    "gpus_of", lambda kind, count: (1 if count == "auto" else count) if kind == "gpu" else None, replace=True
)
OmegaConf.register_new_resolver("run_address", run_address, replace=True)
OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
