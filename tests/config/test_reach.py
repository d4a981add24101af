"""A hub that does not answer is asked once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from croco.config import reach


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    reach.missing.cache_clear()
    yield
    reach.missing.cache_clear()


def session(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[str]:
    asked: list[str] = []

    class Session:
        def head(self, address: str, timeout: float) -> None:
            asked.append(address)
            if error is not None:
                raise error

    monkeypatch.setattr("huggingface_hub.get_session", Session)
    return asked


def test_a_hub_out_of_reach_is_one_line_and_nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = session(monkeypatch, OSError("Name or service\nnot known"))
    said = reach.missing()
    assert said is not None
    assert "cannot be reached (Name or service not known); connect, name a mirror with HF_ENDPOINT" in said
    assert reach.why(ValueError("Cannot reach x: offline mode is enabled")) == said
    assert reach.why(ValueError("401 Client Error\nmore")) == "401 Client Error"
    assert asked == [constants.ENDPOINT]
    assert constants.HF_HUB_OFFLINE
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_hub_that_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    session(monkeypatch, None)
    assert reach.missing() is None
    assert not constants.HF_HUB_OFFLINE


def test_who_said_not_to_ask_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert session(monkeypatch, None) == []
    assert "HF_HUB_OFFLINE is set" in str(reach.missing())
