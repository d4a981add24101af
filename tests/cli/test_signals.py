"""Signals: one line, the right code, and never a wait for who insists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from croco.artifacts import processes
from croco.cli import commandline
from tests.support import interrupts

ROOT = Path(__file__).parents[2]
SLOW_TO_HAND_OVER = """
import time
from croco.cli import commandline
def work(given):
    try:
        {more}
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("handing over", flush=True)
        time.sleep({seconds})
raise SystemExit(commandline.command("x", None, lambda parser: None, work, []))
"""


def begin(seconds: float, more: str = "") -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SLOW_TO_HAND_OVER.format(seconds=seconds, more=more or "pass")]
    run = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=interrupts.hear)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    return run


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "told to end (SIGTERM)"),
        (signal.SIGHUP, 143, "its terminal is gone"),
    ],
)
def test_one_line_and_its_code(number: int, code: int, says: str) -> None:
    run = begin(0)
    run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, err.strip(), out) == (code, f"croco: {says}", "handing over\n")


def test_what_is_stopped_and_continued_goes_on_and_hears() -> None:
    """A signal that came while it was stopped is heard when it goes on; what goes on by itself was not ended."""
    run = begin(0)
    run.send_signal(signal.SIGSTOP)
    run.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert run.poll() is None
    run.send_signal(signal.SIGCONT)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, err.strip(), out) == (143, "croco: told to end (SIGTERM)", "handing over\n")


def gone(pids: Sequence[int], seconds: float = 20) -> bool:
    """Whether they are, within a while: who is killed may take a moment."""
    until = time.monotonic() + seconds
    while any(processes.start_of(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(processes.start_of(pid) for pid in pids)


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    """With whom it had started: here a child that hears nothing, and a child of that one."""
    run = begin(60, "import subprocess; subprocess.Popen(['sh', '-c', 'trap \"\" INT TERM; sleep 61; sleep 62'])")
    while len(left := processes.descendants(run.pid)) < 2:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    assert run.stdout is not None
    assert run.stdout.readline() == "handing over\n", run.communicate()
    before = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert time.monotonic() - before < 5, "a second, on a machine with nothing else to do"
    assert run.returncode == 130
    assert gone(left)
    assert err.strip().startswith("croco: interrupted again: ended at once")
    assert err.strip().count("\n") == 0


PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import os, time; from croco.artifacts.processes import end_with_parent; end_with_parent(int(%d));"
    "print(os.getpid(), flush=True); time.sleep(60)" % os.getpid()])
time.sleep(60)
"""


def test_a_child_ends_with_its_parent_also_when_that_is_killed() -> None:
    run = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    child = int(run.stdout.readline())
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while processes.start_of(child) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes.start_of(child) is None
    assert os.getpid() != child


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, ""),
        (["lang=da", "debug=smoke", "logger=none"], commandline.UNREAD, f"croco: {commandline.LEFT_ALONE}\n"),
    ],
    ids=["help", "run"],
)
def test_who_stops_reading_is_told_in_one_line(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    """`croco run ... | head -0`: the other end of standard output is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "croco.run", *words, f"paths.artifacts={tmp_path / 'runs'}"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, said)


STARTS_A_SERVER = """
import subprocess, sys, time
from croco.artifacts import processes
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
processes.watch_over()
time.sleep(2.5)
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_servers_that_look_at_no_parent_end_with_it() -> None:
    """As Ray's agents, which are in sessions of their own, after SIGKILL of who had them started."""
    run = subprocess.Popen([sys.executable, "-c", STARTS_A_SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    server = int(run.stdout.readline())
    assert processes.start_of(server) is not None
    run.kill()
    run.wait()
    assert gone([server])
