"""What the host does for the device, done while the device is at work on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

UNITS = 2  # that are made ready while one is computed
Part = TypeVar("Part")
Ready = TypeVar("Ready")
Done = TypeVar("Done")


def computed(
    parts: Iterable[Part], prepare: Callable[[Part], Ready], compute: Callable[[Ready], Done]
) -> Iterator[tuple[int, Done]]:
    """(number, what is computed) of each part, in order; parts are taken, and computed, in the caller's thread.

    One thread prepares, so that `prepare` need not know of others. What it raises is raised where its part would have been
    computed, behind all parts before it; whoever stops waits for the part that is being prepared, and no other.
    """
    coming = iter(parts)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting: deque[Future[Ready]] = deque()

        def take() -> None:
            for part in coming:
                waiting.append(thread.submit(prepare, part))
                break

        try:
            for _ in range(1 + UNITS):
                take()
            number = 0
            while waiting:
                ready = waiting.popleft().result()
                yield number, compute(ready)
                number += 1
                take()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
