"""Cards against the artifacts they were made from; the upload against a hub on the loopback interface."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, ModelCard

from croco.artifacts.store import Store
from croco.config import PushConfig
from croco.exchange import hub
from tests.jobs.test_chain import run

PUSH = PushConfig(hub=True, model="me/adapter", dataset="me/pairs", reward=None, private=True)


@pytest.fixture
def exported(tmp_path: Path) -> hub.Exported:
    folder = hub.Exported(tmp_path / "hub/model", tmp_path / "hub/dataset")
    for part in (folder.model, folder.dataset):
        part.mkdir(parents=True)
        (part / "README.md").write_text("---\ntags: [croco]\n---\n")
    return folder


class Hub(BaseHTTPRequestHandler):
    """Just what an upload asks for; keeps each request's path and body."""

    asked: list[tuple[str, str]]
    private = True

    def do_GET(self) -> None:
        self.asked.append((self.path, ""))
        name = "/".join(self.path.split("/")[3:5])
        self._say({"id": name, "private": self.private, "siblings": [], "sha": "0" * 40})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.asked.append((self.path, body))
        if "/preupload/" in self.path:
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self._say({"files": files})
        elif "/commit/" in self.path:
            self._say({"commitUrl": "http://127.0.0.1/me/x/commit/1", "commitOid": "1" * 40, "success": True})
        elif self.path.endswith("/repos/create"):
            asked = json.loads(body)
            kind = "datasets/" if asked.get("type") == "dataset" else ""
            self._say({"url": f"https://huggingface.co/{kind}me/{asked['name']}"})
        else:
            self._say({"errors": [], "warnings": []})

    def _say(self, what: dict[str, Any]) -> None:
        text = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("Served", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    server.server_close()


def test_cards_say_what_the_artifacts_say(policy: Path, reward: Path, tmp_path: Path) -> None:
    said = run(policy, reward, tmp_path)
    store = Store(tmp_path)
    report, pairs, quality = (store.find(stage, "") for stage in ("report", "pairs", "quality"))
    folder = tmp_path / "hub" / report.path.name
    assert str(folder / "model" / "README.md") in said
    card = ModelCard.load(folder / "model" / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.language == ["en", "da"]
    assert card.data.base_model is None  # a local checkpoint is no repository
    assert [(r.dataset_config, r.metric_value) for r in card.data.eval_results] == [
        (row["language"], pytest.approx(row["tuned"])) for row in quality.summary["comparison"]
    ]
    assert quality.summary["headline"] in card.text
    assert str(tmp_path) not in card.content
    assert (folder / "model" / "adapter_model.safetensors").is_file()
    data = DatasetCard.load(folder / "dataset" / "README.md")
    assert data.data.multilinguality == "multilingual"
    assert f"| {pairs.summary['rows']} |" in " ".join(data.text.split())
    assert (folder / "dataset" / "pairs.parquet").read_bytes() == (pairs.path / "pairs.parquet").read_bytes()


def test_an_upload_makes_private_repositories_and_sends_the_files(exported: hub.Exported, served: type[Hub]) -> None:
    assert hub.push(PUSH, exported, "x") == [
        "hub: model pushed to me/adapter (private)",
        "hub: dataset pushed to me/pairs (private)",
    ]
    made = [json.loads(body) for path, body in served.asked if path.endswith("/repos/create")]
    assert [one["name"] for one in made] == ["adapter", "pairs"]
    assert all(one.get("private") is True or one.get("visibility") == "private" for one in made)
    commits = [body for path, body in served.asked if "/commit/" in path]
    assert len(commits) == 2
    assert all("README.md" in body for body in commits)


def test_a_reward_model_goes_with_them(exported: hub.Exported, served: type[Hub]) -> None:
    reward = exported.model.parent / "reward"
    shutil.copytree(exported.model, reward)
    lines = hub.push(PUSH, replace(exported, reward=reward), "x")
    assert lines[2:] == ["hub: reward model pushed to me/croco-x-reward (private)"]
    assert len([path for path, _ in served.asked if path.endswith("/commit/main") and "croco-x-reward" in path]) == 1


def test_what_is_public_already_gets_nothing(exported: hub.Exported, served: type[Hub]) -> None:
    served.private = False
    assert "public already" in hub.push(PUSH, exported, "x")[0]
    assert not [path for path, _ in served.asked if "/commit/" in path]


def test_no_token_and_no_network_are_a_line_each(exported: hub.Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "get_token", lambda: None)
    (line,) = hub.push(PUSH, exported, "x")
    assert "no token" in line
    monkeypatch.setattr(hub, "get_token", lambda: "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens on the discard port
    lines = hub.push(PUSH, exported, "x")
    assert len(lines) == 2
    assert all("not pushed" in line and "\n" not in line for line in lines)
