"""An engine in a process of its own, behind the same protocols.

What the engine held, a GPU's memory included, is given back when its process ends, whatever the libraries inside keep. The
engine asks for requests when it has room and hands answers over one by one, so it never runs dry between pieces of work and
nothing queues without bound. When it dies, what it was working on is named; what it had handed over is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from croco.artifacts import processes
from croco.engines.base import AdapterGenerator, Answered, Completion, Generator, Request, Scorer, scored
from croco.errors import UserError
from croco.models import devices

REQUESTS_PER_ASKING = 16
NAMED_AT_MOST = 32  # prompts in the message of a crash
CLOSING_SECONDS = 60.0


_Key = tuple[str, str, int]


class EngineCrash(UserError):
    """The engine's process ended before its work; names the prompts it was working on."""


class EngineProcess:
    """A child process that builds an engine and serves one caller.

    Raises:
        UserError: as `build` does, in the caller's process.
        EngineCrash: the process ended while it was needed.
    """

    def __init__(self, build: Callable[[], Any], environment: Mapping[str, str], wait: bool = True) -> None:
        """Args:
        build: makes the engine, in the child.
        wait: until it has, and its `settings` are there; otherwise `ready` is for the caller to ask.
        """
        devices.vacate()  # or the child would not find what this process no longer uses
        self.settings: dict[str, Any] = {}
        self._start(build, environment)
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the engine is built."""
        try:
            self.settings = self._receive("ready")
        except BaseException:  # also an interrupt: what loads for minutes is not waited for
            self.close()
            raise

    def _start(self, build: Callable[[], Any], environment: Mapping[str, str]) -> None:
        # Spawned, not forked: a fork would share the parent's CUDA context and threads.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, build, dict(environment), os.getpid()), name="engine"
        )
        # A terminal's Ctrl-C reaches the child too, which says a traceback until it is told otherwise: it begins deaf to it.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        theirs.close()  # so that the child's end is noticed here
        self.idle = False
        self._in_flight: Callable[[], list[str]] = list  # names of prompts, for the message of a crash

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process.pid is not None
        return self._process.pid

    def _ask(self, command: str, argument: Any) -> None:
        self.idle = False
        self._send((command, argument))

    def _send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:
            self._died()

    def _receive(self, expected: str) -> Any:
        """The next message's content, which ends the command; see `_next`."""
        kind, content = self._next()
        assert kind == expected, (kind, expected)
        self.idle = True
        return content

    def _next(self) -> tuple[str, Any]:
        try:
            while (message := self.connection.recv())[0] == "peak":
                devices.child_held(message[1])
        except (EOFError, OSError):
            self._died()
        kind, content = message
        if kind == "refused":
            raise UserError(content)
        if kind == "failed":
            self._crashed(content)
        return kind, content

    def _died(self) -> NoReturn:
        self._process.join(CLOSING_SECONDS)
        self._end_what_is_left()
        code = self._process.exitcode
        how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        self._crashed(how)

    def _crashed(self, how: str) -> NoReturn:
        names = list(dict.fromkeys(self._in_flight()))
        shown = ", ".join(names[:NAMED_AT_MOST])
        if len(names) > NAMED_AT_MOST:
            shown += f" and {len(names) - NAMED_AT_MOST} more"
        during = f"while it worked on prompts {shown}" if names else "before it had work"
        raise EngineCrash(f"the engine's process ended ({how}) {during}; the same command goes on where it stopped")

    def sleep(self) -> bool:
        """See `holder`; an engine that cannot has no say."""
        return self._turn("sleep")

    def wake(self) -> bool:
        """See `holder`."""
        return self._turn("wake")

    def _turn(self, what: str) -> bool:
        if not self.idle:
            return False
        self._ask(what, None)
        return bool(self._receive("turned"))

    def close(self) -> None:
        """End the process; at once when it is in the middle of something."""
        if not self.idle:
            self._process.terminate()
        self.connection.close()
        self._process.join(CLOSING_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """Of the engine's own processes, which outlive it where it was killed: vLLM's core would keep the GPU for ever."""
        if not self._process.is_alive():
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)


class IsolatedGenerator(EngineProcess):
    """A `base.Generator` in its own process."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """See `base.Generator`."""
        yield from _taken(self, iter(requests))

    def begin(self) -> None:
        """Let the engine ask for requests."""
        self._waiting: dict[_Key, tuple[Request, set[int]]] = {}
        self._in_flight = lambda: [f"{r.prompt_id} ({r.language})" for r, _ in self._waiting.values()]
        self._ask("generate", None)

    def take(self, coming: Iterator[Request]) -> Completion | None:
        """The engine's next message: an answer; or that it has room, and gets some of `coming`, or that it is done (`idle`)."""
        kind, content = self._next()
        if kind == "asks":
            some = list(islice(coming, REQUESTS_PER_ASKING))
            self._waiting.update({_key(request): (request, set(request.samples)) for request in some})
            self._send(some)
        elif kind == "completion":
            key, sample, ids, reason, logp = content
            request, missing = self._waiting[key]
            missing.discard(sample)
            if not missing:
                del self._waiting[key]
            return Completion(request, sample, ids.tolist(), reason, logp)
        else:
            self.idle = True
        return None

    def use(self, adapter: Path | None) -> None:
        """Further requests are answered with this LoRA adapter, read again even from the same folder; None takes it off."""
        self._ask("use", adapter)
        self._receive("done")


class IsolatedScorer(EngineProcess):
    """A `base.Scorer` in its own process."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """See `base.Scorer`."""
        self._in_flight = lambda: [f"{a.prompt_id} ({a.language})" for a in answers]
        self._ask("score", list(answers))
        rewards: list[float | None] = self._receive("rewards")
        return rewards

    def stream(self, parts: Iterable[list[Answered]]) -> Iterator[tuple[int, list[float | None]]]:
        """See `base.scored`; parts go there as the engine asks for them, so that it has the next ones before it needs them."""
        yield from _taken(self, enumerate(parts))

    def begin(self) -> None:
        """Let the engine ask for parts."""
        self._waiting: dict[int, list[Answered]] = {}
        self._numbers: list[int] = []  # of the parts that this engine has got, which it numbers from 0
        self._in_flight = lambda: [f"{a.prompt_id} ({a.language})" for part in self._waiting.values() for a in part]
        self._ask("stream", None)

    def take(self, coming: Iterator[tuple[int, list[Answered]]]) -> tuple[int, list[float | None]] | None:
        """The engine's next message: a part's number and rewards; or that it wants one of `coming`, or is done (`idle`)."""
        kind, content = self._next()
        if kind == "asks":
            number, part = next(coming, (-1, None))
            if part is not None:
                self._waiting[number] = part
                self._numbers.append(number)
            self._send(part)
        elif kind == "rewards":
            own, rewards = content
            del self._waiting[self._numbers[own]]
            return self._numbers[own], rewards
        else:
            self.idle = True
        return None


def _taken(engine: Any, coming: Iterator[Any]) -> Iterator[Any]:
    """All that an engine makes of what is coming, which it asks for as it has room."""
    engine.begin()
    while not engine.idle:
        made = engine.take(coming)
        if made is not None:
            yield made


def _key(request: Request) -> _Key:
    """Which request: a prompt may have several runs of samples."""
    return request.prompt_id, request.language, request.samples.start


def _serve(connection: Connection, build: Callable[[], Any], environment: Mapping[str, str], parent: int) -> None:
    """The child: builds the engine, then does what it is told until the other end closes."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    os.setpgid(
        0, 0
    )  # ... also for processes of the engine's own (vLLM's core), which a terminal's Ctrl-C would end first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the engine's own children are ended too
    processes.end_with_parent(parent)
    engine = None
    try:
        engine = build()
        _end(connection, engine, "ready", getattr(engine, "settings", {}))
        while True:
            command, argument = connection.recv()
            devices.count_anew()
            COMMANDS[command](connection, engine, argument)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody is listening any more
    except UserError as error:
        connection.send(("refused", str(error)))
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", " ".join([f"{type(error).__name__}:", *str(error).split()])))
    finally:
        if engine is not None:
            engine.close()


def _end(connection: Connection, engine: Any, kind: str, content: Any = None) -> None:
    """A command's last message, behind what the engine held of the device meanwhile."""
    connection.send(("peak", getattr(engine, "peak", devices.peak)()))
    connection.send((kind, content))


def _generate(connection: Connection, engine: Generator, _: None) -> None:
    def asked() -> Iterator[Request]:
        while True:
            connection.send(("asks", None))
            some = connection.recv()
            if not some:
                return
            yield from some

    for made in engine.generate(asked()):
        ids = array("q", made.token_ids)  # packs tightly
        connection.send(("completion", (_key(made.request), made.sample, ids, made.finish_reason, made.logp)))
    _end(connection, engine, "end")


def _stream(connection: Connection, engine: Scorer, _: None) -> None:
    def asked() -> Iterator[list[Answered]]:
        while True:
            connection.send(("asks", None))
            part = connection.recv()
            if part is None:
                return
            yield part

    for made in scored(engine, asked()):
        connection.send(("rewards", made))
    _end(connection, engine, "end")


def _score(connection: Connection, engine: Scorer, answers: list[Answered]) -> None:
    _end(connection, engine, "rewards", engine.score(answers))


def _turn(what: str, connection: Connection, engine: Any, _: None) -> None:
    connection.send(("turned", hasattr(engine, what) and getattr(engine, what)()))


def _use(connection: Connection, engine: AdapterGenerator, adapter: Path | None) -> None:
    engine.use(adapter)
    _end(connection, engine, "done")


COMMANDS: dict[str, Callable[[Connection, Any, Any], None]] = {
    "generate": _generate,
    "score": _score,
    "stream": _stream,
    "use": _use,
    "sleep": partial(_turn, "sleep"),
    "wake": partial(_turn, "wake"),
}
