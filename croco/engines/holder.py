"""Keeps what is loaded as long as it will be asked for again and the device has room."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from croco.models import devices

IN_TURNS = 3  # what a round asks for: a generator, a scorer, the policy in training


class _Closable(Protocol):
    """What may also `sleep`, holding nothing of the device, until it is told to `wake`; both return whether it does."""

    def close(self) -> None: ...


E = TypeVar("E", bound=_Closable)


class EngineHolder:
    """At most one engine at a time, so that a reward model never shares the device with a policy; more where rounds ask for
    the same ones again and again. Those for which the device has no room then sleep, if they can."""

    def __init__(self) -> None:
        self.most = 1
        self.in_turns = False
        self._awake: dict[Hashable, _Closable] = {}
        """The one asked for last is the last."""
        self._asleep: dict[Hashable, _Closable] = {}

    def take_turns(self, together: bool) -> None:
        """The same ones will be asked for again and again; `together`, the device has room for them all."""
        self.in_turns, self.most = True, IN_TURNS if together else 1

    def get(self, key: Hashable, build: Callable[[], E]) -> E:
        """The engine for `key`: one that is loaded, or a new one after those longest not asked for have made room."""
        engine: Any = self._awake.pop(key, None)
        if engine is None:
            engine = self._asleep.pop(key, None)
            self._leave(self.most - 1)
            if engine is not None and not engine.wake():
                engine.close()
                engine = None
            engine = engine or build()
        self._awake[key] = engine
        return engine  # type: ignore[no-any-return]

    @property
    def makes_room(self) -> bool:
        """Whether one that is loaded will have to leave the device, and be asked for again."""
        return self.in_turns and self.most == 1

    def forget(self, key: Hashable) -> None:
        """Close what is loaded for `key`."""
        for engines in (self._awake, self._asleep):
            if key in engines:
                engines.pop(key).close()

    def rest(self) -> None:
        """Leave the device to what comes; what will be asked for again may sleep."""
        self._leave(0)
        devices.vacate()

    def end_turns(self) -> None:
        """Nobody will be asked for again."""
        self.most, self.in_turns = 1, False
        self.close()

    def close(self) -> None:
        """Leave the device to what comes: no engine, and nothing of it in this process's cache."""
        for engines in (self._awake, self._asleep):
            while engines:
                engines.pop(next(iter(engines))).close()
        devices.vacate()

    def _leave(self, most: int) -> None:
        """Let no more than so many hold the device."""
        while len(self._awake) > most:
            key = next(iter(self._awake))
            engine: Any = self._awake.pop(key)
            if self.in_turns and hasattr(engine, "sleep") and engine.sleep():
                self._asleep[key] = engine
                if len(self._asleep) > IN_TURNS:  # of an adapter, or a reward, that was replaced
                    self._asleep.pop(next(iter(self._asleep))).close()
            else:
                engine.close()
