"""Keeps one engine loaded while consecutive pieces of work want the same one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from croco.models import devices


class _Closable(Protocol):
    def close(self) -> None: ...


E = TypeVar("E", bound=_Closable)


class EngineHolder:
    """At most one engine at a time, so that a reward model never shares the device with a policy; more where rounds ask for
    the same ones again and again."""

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self._engines: dict[Hashable, _Closable] = {}
        """The one asked for last is the last."""

    def get(self, key: Hashable, build: Callable[[], E]) -> E:
        """The engine for `key`: one that is loaded, or a new one after the one longest not asked for was closed."""
        engine = self._engines.pop(key, None)
        if engine is None:
            while len(self._engines) >= self.most:
                self._close_oldest()
            engine = build()
        self._engines[key] = engine
        return engine  # type: ignore[return-value]

    def keep(self, most: int) -> None:
        """No more than so many from now on."""
        self.most = most
        while len(self._engines) > most:
            self._close_oldest()

    def close(self) -> None:
        """Leave the device to what comes: no engine, and nothing of it in this process's cache."""
        while self._engines:
            self._close_oldest()
        devices.vacate()

    def _close_oldest(self) -> None:
        self._engines.pop(next(iter(self._engines))).close()
