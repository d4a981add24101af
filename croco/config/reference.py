"""Every key of the configuration with its type, its meaning and its value in two presets, as Markdown.

python -m croco.config.reference > docs/configuration.md
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from croco.config import CONF, Config

PRESETS = {"the embedded world": [], "`model=eurollm`": ["model=eurollm"]}
LONGEST = 60  # characters of a value that is shown
HEAD = """# Configuration

<!-- Written by `python -m croco.config.reference`; the meanings are the docstrings of croco/config. -->

Every key, with its value in the default run and under `model=eurollm`. A key is set as `key=value` on the command line, in a file
of `conf/GROUP/` or `experiments/` of your own, or as a sweep, `-m key=one,other`. Where a choice of a group leaves out a key, it
is shown as –; `???` asks you for it. `croco run --cfg job --resolve` shows what a command line comes to."""


def markdown() -> str:
    """The whole page."""
    composed = [_composed(words) for words in PRESETS.values()]
    parts, seen = [HEAD], dict[type, str]()
    for field in dataclasses.fields(Config):
        parts.append(f"## {field.name}")
        chosen = sorted(path.stem for path in (CONF / field.name).glob("*.yaml"))
        if chosen:
            parts.append(f"Choices of the group: {', '.join(f'`{field.name}={name}`' for name in chosen)}.")
        rows = [_row(key, kind, said, composed) for key, kind, said in _keys(Config, seen, field.name)]
        parts.append("\n".join([f"| key | type | {' | '.join(PRESETS)} | meaning |", "|---|---|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _composed(words: list[str]) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = OmegaConf.to_container(compose("config", overrides=words), resolve=False)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _keys(
    kind: type, seen: dict[type, str], only: str | None = None, prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """(dotted key, type, docstring), depth first in the order they are declared; what is set alike elsewhere is named once."""
    hints, said = typing.get_type_hints(kind), docstrings(kind)
    for field in dataclasses.fields(kind):
        if only is not None and field.name != only:
            continue
        key, inner = f"{prefix}{field.name}", _dataclass(hints[field.name])
        if inner is None:
            yield key, str(field.type), said.get(field.name, "")
        elif inner in seen:
            yield f"{key}.*", inner.__name__, f"{said.get(field.name, '')} Keys as those of `{seen[inner]}`.".strip()
        else:
            seen[inner] = key
            yield from _keys(inner, seen, prefix=f"{key}.")


def _dataclass(hint: Any) -> type | None:
    """The dataclass that a field holds, also where it may be null."""
    kinds = [one for one in (hint, *typing.get_args(hint)) if isinstance(one, type) and dataclasses.is_dataclass(one)]
    return kinds[0] if kinds and typing.get_origin(hint) not in (list, dict) else None


def docstrings(kind: type) -> dict[str, str]:
    """Field -> the string that stands below it in the class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = re.sub(r"\s+", " ", str(below.value.value)).strip()
    return found


def _row(key: str, kind: str, said: str, composed: list[dict[str, Any]]) -> str:
    values = [_value(of, key) for of in composed]
    return f"| `{key}` | `{_cell(kind)}` | {' | '.join(values)} | {_cell(said)} |"


def _value(of: Mapping[str, Any], key: str) -> str:
    found: Any = of
    for name in key.removesuffix(".*").split("."):
        if not isinstance(found, Mapping) or name not in found:
            return "–"
        found = found[name]
    if key.endswith(".*"):
        return "set" if found is not None else "`null`"
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    text = " ".join(text.split())
    return f"`{_cell(text if len(text) <= LONGEST else text[: LONGEST - 1] + '…')}`" if text else '`""`'


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(markdown())
