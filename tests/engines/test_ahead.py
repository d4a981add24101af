"""What is prepared while the device works: the order, the errors and the end are those of one part after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from croco.engines import ahead


def test_the_next_parts_are_ready_before_they_are_needed() -> None:
    """While part 0 is computed, parts 1 and 2 are prepared, no other is taken, and all of it in another thread."""
    prepared, taken, here = [threading.Event() for _ in range(5)], list[int](), threading.get_ident()

    def parts() -> Iterator[int]:
        for part in range(5):
            assert threading.get_ident() == here
            taken.append(part)
            yield part

    def prepare(part: int) -> int:
        assert threading.get_ident() != here
        prepared[part].set()
        return part * 10

    def compute(ready: int) -> int:
        if ready == 0:
            assert all(event.wait(10) for event in prepared[: 1 + ahead.UNITS])
            assert taken == [0, 1, 2]
        return ready + 1

    assert list(ahead.computed(parts(), prepare, compute)) == [(0, 1), (1, 11), (2, 21), (3, 31), (4, 41)]


@pytest.mark.parametrize("where", ["prepare", "compute"])
def test_an_error_comes_where_its_part_would_have_come(where: str) -> None:
    """Part 1 fails: part 0 is there, nothing behind is computed, and the thread is gone."""

    def fails(part: int) -> int:
        if part == 1:
            raise ValueError(where)
        return part

    def passes(part: int) -> int:
        return part

    before = threading.active_count()
    prepare, compute = (fails, passes) if where == "prepare" else (passes, fails)
    found = ahead.computed(range(4), prepare, compute)
    assert next(found) == (0, 0)
    with pytest.raises(ValueError, match=where):
        next(found)
    assert list(found) == []
    assert threading.active_count() == before


def test_an_interrupt_ends_it_without_preparing_the_rest() -> None:
    """Ctrl-C while part 0 is computed: it is raised there; of nine parts no more were taken than were ahead."""
    prepared = list[int]()

    def interrupted(part: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ahead.computed(iter(range(9)), lambda part: prepared.append(part) or part, interrupted))
    assert len(prepared) <= 1 + ahead.UNITS
