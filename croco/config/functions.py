"""Functions of the user's own (rewards, graders, judges): whether they can be called, who they are, and what they gave back.

A function is who it is by the text of its module and by what it holds besides (a closure, a partial's arguments, an object's
state), so that an edited rule scores again, also where a helper beside it was edited, or a module of the same package that it
imports. One whose text cannot be had, or that holds what has no text, is known by a `__version__` that is declared on it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import linecache
import math
import platform
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import PurePath
from signal import ITIMER_REAL, SIGALRM, setitimer, signal
from typing import Any

from croco.artifacts.addresses import canonical
from croco.config.modules import imports_of
from croco.config.targets import locate
from croco.errors import UserError

WRAPS = 8  # levels of what a function holds


def usable(key: str, dotted: str, arguments: Sequence[str]) -> Callable[..., Any]:
    """The function, if it can be called with these arguments by position.

    Raises:
        UserError: there is none, or it cannot.
    """
    function = locate(key, dotted)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise UserError(f"{key}: '{dotted}' cannot be called with ({', '.join(arguments)}): {error}") from None
    except ValueError:  # builtins do not say what they take
        pass
    return function


def identity(key: str, dotted: str) -> dict[str, Any]:
    """Who a function is, as JSON values for an address.

    Raises:
        UserError: it cannot be told from another, and declares no `__version__`.
    """
    try:
        return {"name": dotted, "is": _Who().of(locate(key, dotted))}
    except _Unknown as unknown:
        raise UserError(
            f"{key}: '{dotted}' cannot be told from a later version of it ({unknown}); declare a version on the function, "
            "f.__version__ = '1', and raise it when it changes"
        ) from None


def number(value: Any) -> float | None:
    """A number (also numpy's, or a tensor with one element) as float; None for None and for what is not finite.

    Raises:
        TypeError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"gave back {_short(value)}, which is no number")
    try:
        found = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"gave back {_short(value)}, which is no number ({error})") from None
    return found if math.isfinite(found) else None


def reason(error: BaseException) -> str:
    """Why a call failed, in one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # the user's own, too
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Python code in it is stopped after so many seconds; only in a process's first thread, where signals arrive.

    Raises:
        TimeoutError: it was.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    before = signal(SIGALRM, stop)
    setitimer(ITIMER_REAL, seconds)
    try:
        yield
    finally:
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, before)


class _Unknown(Exception):
    """Why something cannot be told from another."""


class _Who:
    """Follows what a function holds; the same object once."""

    def __init__(self) -> None:
        self.met: dict[int, Any] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        """JSON values that are equal where the value computes the same."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in self.met:
            return "again"
        self.met[id(value)] = value  # kept, so that no other gets its id
        if depth > WRAPS:
            raise _Unknown(f"it holds more than {WRAPS} levels of other things")
        declared = getattr(value, "__version__", None)
        if isinstance(declared, str | int | float):
            return {"version": declared}
        return self._held(value, depth + 1)

    def _held(self, value: Any, depth: int) -> Any:
        if isinstance(value, list | tuple):
            return [self.of(item, depth) for item in value]
        if isinstance(value, set | frozenset):
            return sorted(canonical(self.of(item, depth)) for item in value)
        if isinstance(value, Mapping):
            return [[self.of(name, depth), self.of(item, depth)] for name, item in value.items()]
        if isinstance(value, bytes | PurePath | complex | range | types.ModuleType):
            return repr(value) if not isinstance(value, types.ModuleType) else value.__name__
        if isinstance(value, re.Pattern):
            return [value.pattern, value.flags]
        if isinstance(value, functools.partial):
            return {"partial": [self.of(part, depth) for part in (value.func, value.args, value.keywords)]}
        if isinstance(value, types.MethodType):
            return {"method": [self.of(value.__func__, depth), self.of(value.__self__, depth)]}
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, type):
            return self._source_of(value, value.__qualname__)
        if isinstance(inner := getattr(value, "__wrapped__", None), types.FunctionType):  # functools.cache's
            return {"wraps": self.of(inner, depth), "with": type(value).__qualname__}
        if inspect.isroutine(value):  # written in C
            return self._package(value, getattr(value, "__qualname__", repr(value)))
        return self._object(value, depth)

    def _function(self, value: types.FunctionType, depth: int) -> Any:
        text = "".join(linecache.getlines(value.__code__.co_filename, value.__globals__))
        held = {
            name: self.of(_content(cell, name), depth)
            for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        }
        defaults = self.of([value.__defaults__, value.__kwdefaults__], depth) if "<" in value.__qualname__ else None
        if not text:
            return self._package(value, value.__qualname__)
        own = {"function": value.__qualname__, "source": _digest(text), "holds": held, "defaults": defaults}
        return own | _imports(value.__module__)

    def _object(self, value: Any, depth: int) -> Any:
        if hasattr(value, "__array__"):  # numpy's, and a tensor
            import numpy as np

            array = np.ascontiguousarray(value)
            if array.dtype != object:
                return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()[:16]]
        state = getattr(value, "__dict__", None)
        if state is None:
            raise _Unknown(f"it holds {_short(value)}")
        return {"object": self.of(type(value), depth), "state": self.of(dict(state), depth)}

    def _source_of(self, kind: type, name: str) -> Any:
        try:
            own = {"class": name, "source": _digest(inspect.getsource(sys.modules[kind.__module__]))}
            return own | _imports(kind.__module__)
        except (OSError, TypeError, KeyError):
            return self._package(kind, name)

    def _package(self, value: Any, name: str) -> Any:
        """By the version of the package it comes in."""
        module = str(getattr(value, "__module__", None) or getattr(getattr(value, "__self__", None), "__name__", ""))
        root = module.split(".")[0]
        if root in sys.stdlib_module_names:
            return {"python": ".".join(platform.python_version_tuple()[:2]), "name": f"{module}.{name}"}
        version = getattr(sys.modules.get(root), "__version__", None)
        try:
            return {"package": root, "version": version or metadata.version(root), "name": f"{module}.{name}"}
        except (metadata.PackageNotFoundError, ValueError):
            raise _Unknown(f"{name} has no source and its package no version") from None


def _imports(module: str) -> dict[str, Any]:
    found = imports_of(module)
    return {"imports": found} if found else {}


def _content(cell: Any, name: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise _Unknown(f"its variable {name} has no value yet") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _short(value: Any) -> str:
    try:
        said = repr(value)
    except Exception:  # of a class of the user's own
        said = "something"
    return f"{said[:60]}{'...' if len(said) > 60 else ''} ({type(value).__name__})"
