"""A name on the hub becomes a commit: the hub's word first, then the cache's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from croco.models import commits
from croco.models.checkpoints import identity

OLD, NEW = "a" * 40, "b" * 40


@dataclass
class ModelConfig:
    path: str
    revision: str | None


@dataclass
class Whole:
    model: ModelConfig
    count: int = 1


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that met org/name when its main was OLD; the hub is out of reach."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "models--org--name" / "refs").mkdir(parents=True)
    (tmp_path / "models--org--name" / "refs" / "main").write_text(OLD)
    commits.commit_of.cache_clear()
    yield_to: Path = tmp_path
    return yield_to


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub on this machine whose main has moved to NEW."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"id": "org/name", "sha": NEW, "siblings": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def test_offline_the_cache_says_what_main_is(cache: Path) -> None:
    assert identity("org/name", None) == f"org/name@{OLD}"
    assert commits.pinned(Whole(ModelConfig("org/name", None))).model.revision == OLD


def test_the_hub_is_asked_once_and_main_may_have_moved(hub: list[str]) -> None:
    assert identity("org/name", None) == identity("org/name", None) == f"org/name@{NEW}"
    assert len(hub) == 1


def test_a_commit_a_folder_and_an_unknown_name_stay(cache: Path, tmp_path: Path) -> None:
    assert identity("org/name", NEW) == f"org/name@{NEW}"
    assert identity("org/other", "v1") == "org/other@v1"
    whole = Whole(ModelConfig(str(tmp_path), None))
    assert commits.pinned(whole) is whole
