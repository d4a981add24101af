"""Callables that a configuration names, and the one way to say that a value will not do."""

from __future__ import annotations

import importlib
import inspect
import operator
from collections.abc import Callable
from typing import Any

from croco.errors import UserError


def require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    require(value in choices, f"{key}: '{value}' is not one of {', '.join(choices)}")


def bind_target(key: str, node: dict[str, Any]) -> Callable[..., Any]:
    """The function `_target_` names, after checking that its keyword-only arguments are exactly the other keys.

    Raises:
        UserError: no such function, an argument it does not take, or one it needs and does not get.
    """
    target = node.get("_target_")
    require(isinstance(target, str), f"{key}._target_: name the function")
    function = locate(f"{key}._target_", str(target))
    parameters = inspect.signature(function).parameters.values()
    settings = {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    given = set(node) - {"_target_"}
    unknown = sorted(given - set(settings))
    require(not unknown, f"{key}.{unknown[0] if unknown else ''}: {target} takes {sorted(settings) or 'no settings'}")
    missing = sorted(n for n, p in settings.items() if p.default is inspect.Parameter.empty and n not in given)
    require(not missing, f"{key}.{missing[0] if missing else ''}: {target} needs it")
    return function


def locate(key: str, dotted: str) -> Callable[..., Any]:
    """The callable behind `package.module.name` or `module:name`, also `module:Class.method`.

    Raises:
        UserError: the module cannot be imported or has no such name.
    """
    module_name, _, name = dotted.rpartition(":" if ":" in dotted else ".")
    try:
        found = operator.attrgetter(name)(importlib.import_module(module_name))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"{key}: cannot find '{dotted}' ({' '.join(str(error).split())})") from None
    except (Exception, SystemExit) as error:  # the module's own: it is a program
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{key}: importing '{module_name}' fails ({said})") from error
    require(callable(found), f"{key}: '{dotted}' is not callable")
    return found
