"""The endpoint's client against a server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from croco.engines.endpoint import Chat, ChatEndpoint
from croco.errors import UserError

KEY = "sk-secret-of-the-test"


class Server:
    """Answers with the statuses it is given, then with the user's message in capitals."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.body: bytes | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append((dict(self.headers), body))
                status = server.statuses.pop(0) if server.statuses else 200
                content = body["messages"][-1]["content"].upper()
                reply = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
                raw = json.dumps(reply).encode() if status == 200 else f"no: {KEY}".encode()
                raw = server.body if server.body is not None and status == 200 else raw
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "7")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def client(server: Server, waits: list[float], **settings: Any) -> ChatEndpoint:
    chosen = {"api_key_env": "TEST_JUDGE_KEY", "retries": 3, "timeout": 5.0, "parallel": 2, **settings}
    return ChatEndpoint(server.url, "m", {"temperature": 0.5}, sleep=waits.append, **chosen)


def chat(text: str = "hi", seed: int = 3) -> Chat:
    return Chat([{"role": "user", "content": text}], seed)


def test_replies_belong_to_their_chats(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    texts = [f"text {i}" for i in range(9)]
    replies = dict(client(server, []).complete([chat(t, i) for i, t in enumerate(texts)]))
    assert [replies[i].text for i in range(9)] == [t.upper() for t in texts]
    headers, body = server.seen[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "m"
    assert body["temperature"] == 0.5
    assert {b["seed"] for _, b in server.seen} == set(range(9))


def test_passing_failures_are_waited_out(server: Server) -> None:
    """429 with Retry-After 7, then 503 (the second wait is 2 s), then an answer; no key is sent where none is named."""
    server.statuses = [429, 503]
    waits: list[float] = []
    assert [reply.text for _, reply in client(server, waits, api_key_env=None).complete([chat()])] == ["HI"]
    assert waits == [7.0, 2.0]
    assert "Authorization" not in server.seen[0][0]


@pytest.mark.parametrize(
    ("statuses", "says"),
    [([500] * 9, "failed 4 times in a row"), ([401], "the key in TEST_JUDGE_KEY"), ([400], "refuses the request")],
)
def test_failures_that_stay_are_one_line_without_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, statuses: list[int], says: str
) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    server.statuses = statuses
    with pytest.raises(UserError, match=says) as error:
        list(client(server, []).complete([chat()]))
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)


def test_no_server_and_no_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_JUDGE_KEY", raising=False)
    with pytest.raises(UserError, match=r"judge\.api_key_env"):
        list(client(server, []).complete([chat()]))
    gone = ChatEndpoint("http://127.0.0.1:9/v1", "m", {}, None, 1, 1.0, 1, sleep=lambda _: None)
    with pytest.raises(UserError, match=r"judge\.url.* failed 2 times"):
        list(gone.complete([chat()]))


def test_something_else_than_a_completion(server: Server) -> None:
    server.body = b"<html>welcome</html>"
    with pytest.raises(UserError, match="no chat completion"):
        list(client(server, [], api_key_env=None).complete([chat()]))


def test_a_reply_without_text_is_empty(server: Server) -> None:
    server.body = b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}'
    ((_, reply),) = client(server, [], api_key_env=None).complete([chat()])
    assert (reply.text, reply.finish_reason) == ("", "length")
