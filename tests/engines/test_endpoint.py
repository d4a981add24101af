"""The endpoint's client against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
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
        self.times: list[float] = []
        self.body: bytes | None = None
        self.unknown: str | None = None
        """A field that it refuses."""
        self.let_go = threading.Event()
        self.let_go.set()
        self.under_way = self.most = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                server.under_way += 1
                server.most = max(server.most, server.under_way)
                server.let_go.wait()
                server.under_way -= 1
                server.times.append(time.monotonic())
                status = 400 if server.unknown in body else server.statuses.pop(0) if server.statuses else 200
                content = body["messages"][-1]["content"].upper()
                reply = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
                raw = json.dumps(reply).encode() if status == 200 else f"no: {KEY}".encode()
                raw = server.body if server.body is not None and status == 200 else raw
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if server.body is None else "text/html")
                if status == 429:
                    self.send_header("Retry-After", "0.2")
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
    server.let_go.set()
    server.http.shutdown()
    server.http.server_close()


def client(server: Server, **settings: Any) -> ChatEndpoint:
    chosen = {"api_key_env": "TEST_JUDGE_KEY", "retries": 1, "timeout": 5.0, "parallel": 2, **settings}
    return ChatEndpoint(server.url, "m", {"temperature": 0.5}, **chosen)


def chat(text: str = "hi", seed: int = 3) -> Chat:
    return Chat([{"role": "user", "content": text}], seed)


def test_replies_belong_to_their_chats(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    texts = [f"text {i}" for i in range(9)]
    replies = dict(client(server).complete([chat(t, i) for i, t in enumerate(texts)]))
    assert [replies[i].text for i in range(9)] == [t.upper() for t in texts]
    headers, body = server.seen[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "m"
    assert body["temperature"] == 0.5
    assert {b["seed"] for _, b in server.seen} == set(range(9))


def test_passing_failures_are_waited_out(server: Server) -> None:
    """429 with Retry-After 0.2 s, then an answer; no key is sent where none is named."""
    server.statuses = [429]
    assert [reply.text for _, reply in client(server, api_key_env=None).complete([chat()])] == ["HI"]
    assert server.times[1] - server.times[0] >= 0.2
    assert "authorization" not in server.seen[0][0]


def test_no_more_requests_at_once_than_asked_for(server: Server) -> None:
    """Ten chats, three at a time: when the server lets go, three are under way, and never more."""
    server.let_go.clear()
    threading.Timer(0.3, server.let_go.set).start()
    assert len(list(client(server, api_key_env=None, parallel=3).complete([chat() for _ in range(10)]))) == 10
    assert server.most == 3


def test_a_server_that_says_nothing_is_given_up_in_time(server: Server) -> None:
    server.let_go.clear()
    with pytest.raises(UserError, match=r"judge\.url.* failed 1 times in a row, last with \w*Timeout"):
        list(client(server, api_key_env=None, retries=0, timeout=0.2).complete([chat()]))


def test_nobody_waits_for_a_server_that_says_nothing(server: Server) -> None:
    """A program that is interrupted while ten minutes are allowed for an answer ends at once."""
    server.let_go.clear()
    program = (
        "import os, signal, threading\n"
        "from croco.engines.endpoint import Chat, ChatEndpoint\n"
        f"endpoint = ChatEndpoint({server.url!r}, 'm', {{}}, None, 5, 600.0, 2)\n"
        "threading.Timer(0.5, lambda: (print('stopped', flush=True), os.kill(os.getpid(), signal.SIGINT))).start()\n"
        "list(endpoint.complete([Chat([{'role': 'user', 'content': 'hi'}], 1)] * 9))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stopped\n"
        try:
            assert process.wait(10) != 0
        finally:
            process.kill()


def test_nothing_of_the_environment_is_sent_or_logged(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenAI's own variables are for OpenAI's server; a line end behind a key is no part of it."""
    for name, value in (
        ("OPENAI_ORG_ID", "our-org"),
        ("OPENAI_PROJECT_ID", "our-project"),
        ("OPENAI_API_KEY", "sk-other"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TEST_JUDGE_KEY", f"{KEY}\n")
    with caplog.at_level(0):
        list(client(server).complete([chat()]))
        list(client(server, api_key_env=None).complete([chat()]))
    for headers, _ in server.seen:
        assert not {"our-org", "our-project", "sk-other", "Bearer sk-other"} & set(headers.values())
    assert server.seen[0][0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert "/v1/chat/completions" not in caplog.text


@pytest.mark.parametrize(
    ("statuses", "says"),
    [([500] * 9, "failed 2 times in a row"), ([401], "the key in TEST_JUDGE_KEY"), ([400], "refuses the request")],
)
def test_failures_that_stay_are_one_line_without_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, statuses: list[int], says: str
) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    server.statuses = statuses
    with pytest.raises(UserError, match=says) as error:
        list(client(server).complete([chat()]))
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)


def test_no_server_and_no_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_JUDGE_KEY", raising=False)
    with pytest.raises(UserError, match=r"judge\.api_key_env"):
        list(client(server).complete([chat()]))
    gone = ChatEndpoint("http://127.0.0.1:9/v1", "m", {}, None, 0, 1.0, 1)
    with pytest.raises(UserError, match=r"judge\.url.* failed 1 times in a row, last with ConnectError"):
        list(gone.complete([chat()]))


def test_something_else_than_a_completion(server: Server) -> None:
    server.body = b"<html>welcome</html>"
    with pytest.raises(UserError, match="no chat completion"):
        list(client(server, api_key_env=None).complete([chat()]))


def test_a_reply_without_text_is_empty(server: Server) -> None:
    server.body = b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}'
    ((_, reply),) = client(server, api_key_env=None).complete([chat()])
    assert (reply.text, reply.finish_reason) == ("", "length")


def test_a_server_that_refuses_a_form_is_asked_without_and_one_line_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Four chats, one at a time: the first is asked twice, the rest once; of what is refused without it, too, all is said."""
    endpoint = client(server, api_key_env=None, parallel=1, response_format={"type": "json_schema"})
    assert len(list(endpoint.complete([chat()] * 2))) == 2
    assert [body["response_format"] for _, body in server.seen] == [{"type": "json_schema"}] * 2
    server.unknown = "response_format"
    server.seen.clear()
    assert [reply.text for _, reply in endpoint.complete([chat()] * 4)] == ["HI"] * 4
    assert ["response_format" in body for _, body in server.seen] == [True, False, False, False, False]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "takes no response_format (status 400" in line
    server.unknown = "seed"
    with pytest.raises(UserError, match="refuses the request"):
        list(client(server, api_key_env=None, response_format={}).complete([chat()]))
