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
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
COMMIT = "c" * 40
Files = Mapping[str, bytes]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commit_of(tag: str) -> str:
    return hashlib.sha1(tag.encode()).hexdigest()


@contextmanager
def hub(repositories: Mapping[tuple[str, str], Files]) -> Iterator[tuple[str, list[str]]]:
    """(address, what was asked so far) of a server with repositories by (`models` or `datasets`, id), each at COMMIT; an id with
    `@TAG` behind it is the same repository at another commit."""
    asked: list[str] = []
    commits = {
        (kind, *name.split("@")[:1], revision): (files, commit)
        for (kind, name), files in repositories.items()
        for tag in (name.split("@")[1:] or ["main"])
        for commit in [COMMIT if tag == "main" else commit_of(tag)]
        for revision in (tag, commit)
    }

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
            address = urlsplit(self.path)
            path, query = unquote(address.path), {name: v[0] for name, v in parse_qs(address.query).items()}
            there = None
            if found := API.fullmatch(path):
                kind, name, what, revision, below = found.groups()
                there = commits.get((kind, name, revision or "main"))
                if there is not None:
                    return self._api(name, what, there, below or "", query, body)
            elif found := FILE.fullmatch(path):
                there = commits.get(("datasets" if found[1] else "models", found[2], found[3]))
                if there is not None and found[4] in there[0]:
                    content, commit = there[0][found[4]], there[1]
                    etag = hashlib.sha256(content).hexdigest()
                    return self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
            code = "RepoNotFound" if there is None else "EntryNotFound"
            return self._send(404, b"", {"X-Error-Code": code})

        def _api(
            self,
            name: str,
            what: str | None,
            there: tuple[Files, str],
            below: str,
            query: Mapping[str, str],
            body: bytes,
        ) -> None:
            files, commit = there
            if what == "tree":
                return self._json(_tree(files, below, query.get("recursive", "").lower() == "true"))
            if what == "paths-info":
                paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
                every = {one["path"]: one for one in _tree(files, "", True)}
                return self._json([every[path] for path in paths if path in every])
            siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
            return self._json({"id": name, "sha": commit, "siblings": siblings, "tags": [], "private": False})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def _tree(files: Files, below: str, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders under a folder, as the hub lists them."""
    start = f"{below}/" if below else ""
    found: dict[str, dict[str, Any]] = {}
    for path, content in files.items():
        inner = path.removeprefix(start).split("/") if path.startswith(start) else []
        for depth in range(1, len(inner) + 1 if recursive else min(len(inner), 1) + 1):
            name, is_file = start + "/".join(inner[:depth]), depth == len(inner)
            size, oid = (len(content), content) if is_file else (0, name.encode())
            kind = "file" if is_file else "directory"
            found[name] = {"type": kind, "path": name, "size": size, "oid": hashlib.sha1(oid).hexdigest()}
    return list(found.values())
