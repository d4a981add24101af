"""The words of the command line: which groups, choices and keys there are, told from the files alone.

Hydra composes the whole configuration before it says what it knows; here nothing is composed, so that `--help`, completion and a
word that is wrong are answered at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import re
import shutil
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from croco.config import CONF, Config
from croco.config.choices import TOGETHER, one_choice
from croco.config.paths import EXPERIMENTS_NAME, files
from croco.errors import UserError
from croco.show import secrets

ELSEWHERE = {
    "experiments": "A table or an ablation: differences from the defaults, with their sweep.",
    "arm": "A row of the paper's main table: a method and whose answers it trains on.",
    "debug": "A run made small, to see that it works.",
}
"""Groups that are no part of the typed configuration."""
NOT_CHOSEN = ("hydra", "language")  # Hydra's own, and the files that lang's sets name
SIMPLE = re.compile(r"\[?[\w\-/]+(, *[\w\-/]+)*\]?")
OWN_PLACES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "hydra.searchpath")
EXAMPLES = """\
  croco run                                        the demo: embedded models, no network, no GPU
  croco run model=eurollm lang=multi method=dpo    the paper's setting; --cfg job --resolve only shows it
  croco run -m lang=da,de,multi method=dpo,sft     a sweep; the same command goes on where it stopped
"""
MORE = """\
A group's choice is group=choice, a single setting key=value, e.g. method.learning_rate=1e-6 (every key: --cfg job).
-m runs every combination; hydra/launcher=joblib in parallel, hydra/launcher=slurm on a cluster.
Before the hours are spent: croco doctor, with the same words. While they pass: croco status. After: croco compare.
Completion: eval "$(croco completion bash)". Hydra's own options: --hydra-help.
"""


def groups() -> dict[str, list[str]]:
    """The choices of every group, by name of the group."""
    names = {p.name for p in CONF.iterdir() if p.is_dir() and p.name not in NOT_CHOSEN} | {EXPERIMENTS_NAME}
    return {name: sorted(files(name)) for name in sorted(names)}


def fields(kind: Any = Config) -> dict[str, Any]:
    """The fields of a dataclass with their types, None taken off."""
    hints = typing.get_type_hints(kind)
    return {field.name: _without_none(hints[field.name]) for field in dataclasses.fields(kind)}


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(part for part in kind.__args__ if part is not type(None))
    return kind


def every_key(kind: Any = Config, prefix: str = "") -> Iterator[str]:
    """Every dotted key; a mapping of any keys ends in a dot."""
    for name, inner in fields(kind).items():
        if dataclasses.is_dataclass(inner):
            yield from every_key(inner, f"{prefix}{name}.")
        else:
            yield prefix + name + ("." if typing.get_origin(inner) is dict else "")


def help_text(command: str) -> str:
    """What `--help` of `run` and `doctor` prints."""
    typed, chosen = fields(), _defaults()
    lines = [
        f"croco {command} [group=choice ...] [key=value ...], or python -m croco.{command} ...",
        "",
        EXAMPLES,
        "Groups and their choices",
        "",
    ]
    for group, names in groups().items():
        said = ELSEWHERE[group] if group in ELSEWHERE else (typed[group].__doc__ or "").split("\n")[0]
        default = f" Default: {chosen[group]}." if chosen.get(group) else ""
        lines += [f"  {group:<12} {said}{default}", *_wrapped(names)]
    return "\n".join([*lines, "", MORE])


def _wrapped(names: Sequence[str], width: int = 112, indent: str = " " * 15) -> list[str]:
    lines = [indent]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append(indent)
        lines[-1] += f"{name} "
    return [line.rstrip() for line in lines]


def _defaults() -> dict[str, Any]:
    import yaml

    listed = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {group: choice for entry in listed if isinstance(entry, dict) for group, choice in entry.items()}


PLUGINS = {
    "hydra/launcher=slurm": ("hydra_submitit_launcher", "slurm"),
    "hydra/launcher=joblib": ("hydra_joblib_launcher", "joblib"),
    "hydra/sweeper=search": ("hydra_optuna_sweeper", "optuna"),
    "hydra/sweeper=optuna": ("hydra_optuna_sweeper", "optuna"),
}
"""What only an extra brings: word -> Hydra's plugin, the extra."""


def _check_plugin(word: str) -> None:
    plugin, extra = PLUGINS.get(word, (None, ""))
    if plugin is None:
        return
    try:
        there = importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:  # no plugin at all
        there = False
    if not there:
        raise UserError(f"{word}: it needs an extra: make setup EXTRAS=dev,{extra}, or pip install 'croco[{extra}]'")
    if extra == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            f"{word}: no sbatch on this machine; call it where SLURM is, or choose hydra/launcher=joblib, or none"
        )


def check(arguments: Sequence[str]) -> None:
    """See that every choice and every key exists; what is more than a plain word is left to Hydra.

    Raises:
        UserError: one does not; the message names those that do. Or one needs what is not installed, or holds a secret, which
            Hydra would keep in its files.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        for place, kind in secrets.found({key: value}):
            raise UserError(secrets.refusal(place, kind))
    if any(argument.startswith(OWN_PLACES) for argument in arguments):
        return
    known = groups()
    for argument in arguments:
        key, equals, value = argument.partition("=")
        group = key.split("@")[0]
        _check_plugin(argument)
        if not equals or not re.fullmatch(r"[\w.@]+", key) or key.startswith("hydra"):
            continue
        if group in known:
            _check_choices(group, known[group], value)
        elif "@" not in key:
            _check_key(key, known)


def _check_choices(group: str, known: Sequence[str], value: str) -> None:
    if not SIMPLE.fullmatch(value):
        return
    for choice in re.split(r", *", value.strip("[]")):
        if choice == "null":
            raise UserError(
                f"{group}: null is no choice; ~{group} leaves the group out, and there is {', '.join(known)}"
            )
        if choice not in known:
            raise UserError(f"{group}: no '{choice}'{_meant(choice, known)}; there is {', '.join(known)}")
    if value.startswith("[") and group not in TOGETHER:
        one_choice(group, value)


def _check_key(key: str, known: dict[str, list[str]]) -> None:
    every = list(every_key())
    if any(key == one or one.startswith(f"{key}.") or (one[-1] == "." and key.startswith(one)) for one in every):
        return
    raise UserError(f"{key}: no such group or key{_meant(key, [*known, *every])}; every one: --help, and --cfg job")


def _meant(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{close[0].rstrip('.')}'?)" if close else ""
