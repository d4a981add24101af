"""A hub of one's own on this machine: what the hub's clients ask of repositories, answered from files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/?]+)(?:/([^?]*))?)?(?:\?.*)?$"
)
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")
COMMIT = "c" * 40


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def hub(repositories: Mapping[tuple[str, str], Mapping[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """(address, what was asked so far) of a server with repositories by (`models` or `datasets`, id), each at COMMIT."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *told: Any) -> None:
            pass

        def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _json(self, said: Any) -> None:
            self._send(200, json.dumps(said).encode(), {"Content-Type": "application/json"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(body)

        def do_GET(self) -> None:
            self._answer(b"")

        do_HEAD = do_GET

        def _answer(self, body: bytes) -> None:
            asked.append(f"{self.command} {self.path}")
            if found := API.match(self.path):
                kind, name, what, revision, _ = found.groups()
                files = repositories.get((kind, name))
                if files is not None and revision in (None, "main", COMMIT):
                    return self._api(name, what, files, body)
            elif found := FILE.match(self.path):
                files = repositories.get(("datasets" if found[1] else "models", found[2]))
                if files is not None and found[4] in files and found[3] in ("main", COMMIT):
                    content = files[found[4]]
                    etag = hashlib.sha256(content).hexdigest()
                    return self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
            code = "RepoNotFound" if found is None or files is None else "EntryNotFound"
            return self._send(404, b"", {"X-Error-Code": code})

        def _api(self, name: str, what: str | None, files: Mapping[str, bytes], body: bytes) -> None:
            def told(path: str) -> dict[str, Any]:
                return {
                    "type": "file",
                    "path": path,
                    "size": len(files[path]),
                    "oid": hashlib.sha1(files[path]).hexdigest(),
                }

            if what == "tree":
                return self._json([told(path) for path in files])
            if what == "paths-info":
                paths = json.loads(body)["paths"] if body.startswith(b"{") else re.findall(rb"paths=([^&]+)", body)
                named = [path if isinstance(path, str) else path.decode() for path in paths]
                return self._json([told(path) for path in named if path in files])
            siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
            return self._json({"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
