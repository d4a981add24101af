"""Engines in a process of their own: the same answers, and what happens when it refuses its work, fails, or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from croco.artifacts import processes
from croco.engines.base import Answered, Completion, Request
from croco.engines.process import EngineCrash, IsolatedGenerator, IsolatedScorer
from croco.errors import UserError
from croco.jobs import memory
from tests.support import interrupts

ROOT = Path(__file__).parents[2]


class Counting:
    """Answers with [seed, sample] and a log-prob of -sample; takes one request at a time."""

    def __init__(self, fail_at: str | None = None, how: str = "kill") -> None:
        self.fail_at, self.how = fail_at, how
        self.settings = {"engine": "counting", "told": os.environ.get("CROCO_TEST_TOLD")}
        self.held = 0  # bytes of a device: a KiB for each thing done

    def peak(self) -> int:
        return self.held

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        self.held += 1024
        for request in requests:
            for sample in request.samples:
                if request.prompt_id == self.fail_at and sample == 1:
                    self.fail()
                yield Completion(request, sample, [request.seed, sample], "stop", -float(sample))

    def fail(self) -> None:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise UserError("no room for p1") if self.how == "refuse" else ValueError("broken\nin two lines")

    def sleep(self) -> bool:
        self.asleep = True
        return True

    def wake(self) -> bool:
        return self.asleep

    def score(self, answers: list[Answered]) -> list[float | None]:
        if any(a.answer == self.fail_at for a in answers):
            self.fail()
        return [float(len(a.answer)) for a in answers]

    def close(self) -> None:
        pass


class Helped(Counting):
    """With a process of its own, as vLLM's core is one, which nobody would end where the engine's is killed."""

    def __init__(self, fail_at: str) -> None:
        super().__init__(fail_at)
        self.settings |= {"helper": subprocess.Popen(["sleep", "60"]).pid}


def refuses() -> Any:
    raise UserError("cannot load this checkpoint")


def wanted(count: int, samples: int = 2) -> list[Request]:
    return [Request(f"p{i}", "da", [i], range(samples), 10 * i) for i in range(count)]


def test_answers_come_back_from_another_process_again_and_again() -> None:
    memory.begin()
    engine = IsolatedGenerator(Counting, {"CROCO_TEST_TOLD": "yes"})
    assert engine.settings == {"engine": "counting", "told": "yes"}
    assert "CROCO_TEST_TOLD" not in os.environ
    assert engine.pid != os.getpid()
    for count in (40, 0, 3):  # more than are asked for at once, none, and few
        made = [(c.request.prompt_id, c.sample, c.token_ids, c.logp) for c in engine.generate(iter(wanted(count)))]
        assert made == [(r.prompt_id, s, [r.seed, s], -s) for r in wanted(count) for s in range(2)]
    assert engine.sleep()
    assert engine.wake()
    assert memory.peaks()["device_peak"] == 3 * 1024  # as the engine's process told behind each command
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(engine.pid, 0)


def test_requests_are_taken_as_they_are_needed() -> None:
    """However long the list, only a few are out of it before the first answer."""
    taken = []

    def coming() -> Iterator[Request]:
        for request in wanted(1000):
            taken.append(request)
            yield request

    engine = IsolatedGenerator(Counting, {})
    next(engine.generate(coming()))
    assert len(taken) <= 32
    engine.close()


class Loads:
    """An engine that takes longer to load than anybody waits for."""

    def __init__(self) -> None:
        Path(os.environ["CROCO_TEST_LOADS"]).write_text(str(os.getpid()))
        time.sleep(600)


BEGINS = """
import sys
from croco.cli import commandline
from croco.engines.process import EngineProcess
from tests.engines.test_process import Loads
if __name__ == "__main__":
    begin = lambda given: EngineProcess(Loads, {{"CROCO_TEST_LOADS": {file!r}}})
    sys.exit(commandline.command("x", None, lambda parser: None, begin, []))
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["spawned", "loading"])
def test_ctrl_c_while_an_engine_begins_is_one_line_and_nothing_stays(when: str, tmp_path: Path) -> None:
    """As a terminal sends it: to the child as well, which had a traceback to say of it, and whose loading was waited for."""
    (tmp_path / "begins.py").write_text(BEGINS.format(file=str(tmp_path / "pid")))
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "begins.py")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interrupts.hear,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    spawned: list[str] = []
    while run.poll() is None and not ((tmp_path / "pid").exists() if when == "loading" else spawned):
        time.sleep(0.01)
        found = (
            [pid for pid in children.read_text().split() if b"spawn_main" in _words(pid)] if run.poll() is None else []
        )
        spawned = found or spawned
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err.strip()) == (130, "croco: interrupted")
    assert spawned
    assert all(processes.start_of(int(pid)) is None for pid in spawned)


def _words(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_kill_names_the_prompts_in_flight_and_keeps_what_was_handed_over() -> None:
    """p0 is finished, p1 is half done, p2 was handed over and not begun. What the engine had started ends, too; a terminal's
    Ctrl-C, which goes to a group, would have reached neither."""
    engine = IsolatedGenerator(partial(Helped, fail_at="p1"), {})
    helper = engine.settings["helper"]
    assert os.getpgid(helper) == os.getpgid(engine.pid) != os.getpgrp()
    made = []
    with pytest.raises(
        EngineCrash, match=r"killed by SIGKILL.* worked on prompts p1 \(da\), p2 \(da\); the same command"
    ):
        made += list(_noted(engine.generate(wanted(3)), made))
    assert made == [("p0", 0), ("p0", 1), ("p1", 0)]
    deadline = time.monotonic() + 10
    while processes.start_of(helper) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.start_of(helper) is None
    engine.close()


def _noted(completions: Iterator[Completion], made: list[Any]) -> Iterator[Completion]:
    for c in completions:
        made.append((c.request.prompt_id, c.sample))
    yield from ()


def test_an_exception_is_one_line_and_bad_input_stays_bad_input(capfd: pytest.CaptureFixture[str]) -> None:
    engine = IsolatedGenerator(partial(Counting, fail_at="p0", how="raise"), {})
    with pytest.raises(EngineCrash, match=r"^[^\n]*ValueError: broken in two lines[^\n]*p0 \(da\)[^\n]*$"):
        list(engine.generate(wanted(1)))
    engine.close()
    assert "Traceback" in capfd.readouterr().err  # the whole story for whoever looks for it
    engine = IsolatedGenerator(partial(Counting, fail_at="p0", how="refuse"), {})
    with pytest.raises(UserError, match=r"^no room for p1$"):
        list(engine.generate(wanted(1)))
    engine.close()
    with pytest.raises(UserError, match="cannot load this checkpoint"):
        IsolatedGenerator(refuses, {})


def test_scores_come_back_and_a_kill_names_the_prompts() -> None:
    answers = [Answered([], "x" * n, "da", "{}", f"p{n}") for n in range(3)]
    engine = IsolatedScorer(partial(Counting, fail_at="bad"), {})
    assert engine.score(answers) == [0.0, 1.0, 2.0]
    assert engine.score([]) == []
    with pytest.raises(EngineCrash, match=r"prompts p0 \(da\), p7 \(da\)"):
        engine.score([answers[0], Answered([], "bad", "da", "{}", "p7")])
    engine.close()


def test_a_stream_of_parts_and_a_kill_in_the_second() -> None:
    """What came before it is there; the message names the part that was lost, which the engine had asked for."""
    answers = [Answered([], "x" * n, "da", "{}", f"p{n}") for n in range(3)]
    engine = IsolatedScorer(partial(Counting, fail_at="bad"), {})
    assert list(engine.stream([answers[:2], [], answers[2:]])) == [(0, [0.0, 1.0]), (1, []), (2, [2.0])]
    found = engine.stream([answers, [Answered([], "bad", "da", "{}", "p7")]])
    assert next(found) == (0, [0.0, 1.0, 2.0])
    with pytest.raises(EngineCrash, match=r"prompts p7 \(da\)"):
        next(found)
    engine.close()
