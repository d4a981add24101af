"""Ctrl-C, and what schedulers and closed terminals send: the work hands over, says so in one line, and ends.

The first signal unwinds the program as an interrupt does, so that rows on their way reach the disk; a second Ctrl-C ends it
at once, with what is on the disk. Signals that are ignored where the program is started (nohup, a shell's background) stay so.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from croco.artifacts import processes

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "told to end (SIGTERM)", signal.SIGHUP: "its terminal is gone"}
AGAIN = b"\ncroco: interrupted again: ended at once; what is on the disk is kept, and the same command goes on\n"

_first: signal.Signals | None = None


class Told(KeyboardInterrupt):
    """A signal other than Ctrl-C; unwinds as that does."""


def listen() -> None:
    """Take the signals, in a process's first thread."""
    global _first
    _first = None
    if threading.current_thread() is not threading.main_thread():
        return
    for number in CODES:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _take)


def _take(number: int, _: Any) -> None:
    global _first
    if _first is not None:
        if number == signal.SIGINT:
            os.write(2, AGAIN)
            processes.end_descendants()  # a cluster's or an engine's would take their time
            os._exit(CODES[signal.SIGINT])
        return  # a scheduler repeats itself; the work is handing over
    _first = signal.Signals(number)
    raise Told(SAID[_first]) if number != signal.SIGINT else KeyboardInterrupt


def code() -> int:
    """The exit code: 130 for Ctrl-C, 143 for being told to end."""
    return CODES[_first or signal.SIGINT]


def said() -> str:
    """What came, in words."""
    return SAID[_first or signal.SIGINT]


def say(line: str) -> None:
    """Tell it, where there still is somebody to tell."""
    try:
        print(f"\ncroco: {line}", file=sys.stderr, flush=True)
    except OSError:  # the terminal is gone
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for what is left of the process
