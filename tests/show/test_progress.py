"""The rate and the remaining time, in a log and on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from croco.show import progress
from croco.show.progress import Progress


def test_a_line_tells_tokens_per_second_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 of 100 were there; 20 with 300 tokens in 10 s: 30 tokens/s, and 20 s for the 600 tokens of the 40 that are left."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 10.0)
    out = io.StringIO()
    with Progress(Console(file=out)).task("generations/da", 100, "answers", done=40) as task:
        now[0] += 5
        task.advance(10, tokens=200)
        assert out.getvalue() == ""  # a line now and then, not one for every answer
        now[0] += 5
        task.advance(10, tokens=100)
    assert out.getvalue() == "  generations/da: 60 of 100 answers, 300 tokens, 30 tokens/s, 20 s left\n"


def test_less_than_one_in_a_second_is_told_in_seconds_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 of 5 steps in 50 s: 25 s for each, and 75 s for the three that are left."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Progress(Console(file=out)).task("training", 5, "steps") as task:
        assert task.rate == "0.0 steps/s"
        now[0] += 50
        task.advance(2)
    assert out.getvalue() == "  training: 2 of 5 steps, 25.0 s/step, 75 s left\n"


def test_a_terminal_shows_both_too() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=True, width=160)).task("generations/da", 10, "answers") as task:
        task.advance(5, tokens=50)
    assert "tokens/s" in out.getvalue()
    assert "left" in out.getvalue()
