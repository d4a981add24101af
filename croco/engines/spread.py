"""One engine for each GPU of this machine, behind the protocols of one; each has a process of its own that sees its GPU alone.

Requests go to whichever engine has room, and answers come from whichever has one: no engine waits for another but at the very
end, before which its parts get smaller. Processes rather than actors of a Ray cluster, which would do the same: one machine
needs no cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from croco.engines.base import Answered, Completion, Request
from croco.engines.process import IsolatedGenerator, IsolatedScorer

M = TypeVar("M", IsolatedGenerator, IsolatedScorer)
LEAST = 8  # prompts that an engine gets at a time, where there are so many for each


class _Members(Generic[M]):
    """The engines, loaded all at once."""

    def __init__(self, kind: type[M], build: Callable[[], Any], environments: Sequence[Mapping[str, str]]) -> None:
        self.members: list[M] = []
        try:
            for environment in environments:
                self.members.append(kind(build, environment, wait=False))
            for member in self.members:
                member.ready()
        except BaseException:
            self.close()
            raise
        self.settings = self.members[0].settings

    def _made(self, sources: Iterable[Iterator[Any]]) -> Iterator[Any]:
        """What the engines make, in any order; each takes of one source, and when it has none left of the next."""
        coming = iter(sources)
        working: dict[Any, tuple[M, Iterator[Any]]] = {}

        def go_on(member: M) -> None:
            working.pop(member.connection, None)
            if (source := next(coming, None)) is not None:
                member.begin()
                working[member.connection] = member, source

        for member in self.members:
            go_on(member)
        while working:
            for connection in wait(list(working)):
                member, source = working[connection]
                made = member.take(source)
                if made is not None:
                    yield made
                elif member.idle:
                    go_on(member)

    def sleep(self) -> bool:
        """See `holder`."""
        return all(member.sleep() for member in self.members)

    def wake(self) -> bool:
        """See `holder`."""
        return all(member.wake() for member in self.members)

    def close(self) -> None:
        for member in self.members:
            member.close()


class SpreadGenerator(_Members[IsolatedGenerator]):
    """A `base.Generator` of several."""

    def __init__(
        self, build: Callable[[], Any], environments: Sequence[Mapping[str, str]], window: int | None = None
    ) -> None:
        """Args:
        window: prompts that an engine gets at most before it is asked to end with what it has, since it reads so many before it
            begins; None where it takes them as it has room.
        """
        super().__init__(IsolatedGenerator, build, environments)
        self.window = window

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """See `base.Generator`."""
        yield from self._made((self._parts if self.window is None else self._windows)(iter(requests)))

    def _parts(self, coming: Iterator[Request]) -> Iterator[Iterator[Request]]:
        """For each engine a few to begin with, so that none takes all before another has asked; then what it has room for."""
        count = len(self.members)
        first = list(islice(coming, count * LEAST))
        for number in range(count):
            yield chain(first[number::count], coming)

    def _windows(self, coming: Iterator[Request]) -> Iterator[Iterator[Request]]:
        """Equal parts of what is left, as far as that can be seen."""
        assert self.window is not None
        count = len(self.members)
        ahead = list(islice(coming, count * self.window))
        least = min(LEAST, -(-len(ahead) // count))
        while ahead:
            size = max(least, -(-len(ahead) // count))
            yield iter(ahead[:size])
            ahead = [*ahead[size:], *islice(coming, size)]

    def use(self, adapter: Path | None) -> None:
        """See `base.AdapterGenerator`."""
        for member in self.members:
            member.use(adapter)


class SpreadScorer(_Members[IsolatedScorer]):
    """A `base.Scorer` of several."""

    def __init__(self, build: Callable[[], Any], environments: Sequence[Mapping[str, str]]) -> None:
        super().__init__(IsolatedScorer, build, environments)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`; each engine has its part."""
        size = max(1, -(-len(answers) // len(self.members)))
        parts = [list(answers[first : first + size]) for first in range(0, len(answers), size)]
        found = dict(self._made(iter([part]) for part in enumerate(parts)))
        return [reward for number in range(len(parts)) for reward in found[number]]

    def stream(self, parts: Iterable[list[Answered]]) -> Iterator[tuple[int, list[float | None]]]:
        """See `base.scored`: each part is scored whole, as one engine would, by whichever engine asks for it."""
        yield from self._made(repeat(enumerate(parts), len(self.members)))
