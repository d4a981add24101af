"""What is loaded stays, sleeps or is closed, as the device has room."""

from __future__ import annotations

import pytest

from croco.engines.holder import EngineHolder


class Sleeper:
    """`light`, it sleeps and wakes; `heavy`, it finds no place to sleep; `deep`, it does not wake."""

    def __init__(self, kind: str, told: list[str]) -> None:
        self.kind, self.told = kind, told

    def sleep(self) -> bool:
        return self.kind != "heavy"

    def wake(self) -> bool:
        return self.kind != "deep"

    def close(self) -> None:
        self.told.append(self.kind)


@pytest.mark.parametrize(
    ("kind", "same", "closed"), [("light", True, []), ("heavy", False, ["heavy"]), ("deep", False, ["deep"])]
)
def test_engines_that_take_turns_sleep_where_they_can(kind: str, same: bool, closed: list[str]) -> None:
    """Of two for which there is no room together the first comes back, or where it cannot a new one in its place."""
    engines, told = EngineHolder(), []
    engines.take_turns(together=False)
    first = engines.get("generator", lambda: Sleeper(kind, told))
    engines.get("scorer", lambda: Sleeper("light", told))
    assert (engines.get("generator", lambda: Sleeper(kind, told)) is first) is same
    assert told == closed
    engines.end_turns()
    assert sorted(told) == sorted([*closed, "light", kind])
    assert not engines.makes_room


def test_what_was_replaced_does_not_stay_asleep() -> None:
    """Three sleep at most, which is what a round asks for; a fourth takes the place of the one longest asleep, but not of the one
    that is about to wake."""
    engines, told = EngineHolder(), []
    engines.take_turns(together=False)
    made = {name: engines.get(name, lambda name=name: Sleeper(name, told)) for name in "abcd"}  # type: ignore[misc]
    assert engines.get("a", lambda: pytest.fail("it was asleep")) is made["a"]
    assert told == []
    engines.rest()
    assert told == ["b"]


def test_with_room_for_all_nobody_sleeps_and_without_turns_nobody_stays() -> None:
    engines, told = EngineHolder(), []
    engines.take_turns(together=True)
    made = [engines.get(name, lambda: Sleeper("light", told)) for name in "abc"]
    assert [engines.get(name, lambda: Sleeper("light", told)) for name in "abc"] == made
    engines.end_turns()
    assert len(told) == 3
    for name in "ab":
        engines.get(name, lambda: Sleeper("light", told))
    assert len(told) == 4
