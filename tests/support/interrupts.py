"""Ctrl-C for processes that tests start."""

from __future__ import annotations

import signal


def hear() -> None:
    """As a child's `preexec_fn`: a test that runs in a shell's background is deaf to Ctrl-C, and would hand that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
