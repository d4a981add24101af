"""Keeps one engine loaded while consecutive pieces of work want the same one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar


class _Closable(Protocol):
    def close(self) -> None: ...


E = TypeVar("E", bound=_Closable)


class EngineHolder:
    """At most one engine at a time, so that a reward model never shares the device with a policy."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._engine: _Closable | None = None

    def get(self, key: Hashable, build: Callable[[], E]) -> E:
        """The engine for `key`: the one that is loaded, or a new one after the other was closed."""
        if self._engine is None or self._key != key:
            self.close()
            self._engine, self._key = build(), key
        return self._engine  # type: ignore[return-value]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = self._key = None
