"""Our own engine behind the OpenAI chat protocol, on this machine only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from croco.engines.base import Request, seed_of
from croco.engines.hf import HFGenerator
from croco.language import text
from croco.models.checkpoints import Checkpoint

LONGEST_PROMPT = 400  # tokens; the embedded policy's context is 512


@contextmanager
def serving(model: Path) -> Iterator[tuple[str, list[str]]]:
    """(base URL, the questions it was asked so far)."""
    tokenizer = text.load_tokenizer(str(model))
    engine = HFGenerator(Checkpoint(str(model)), tokenizer, temperature=0.0, top_p=1.0, max_new_tokens=8, batch_size=1)
    lock = threading.Lock()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = [{"role": m["role"], "content": str(m["content"])} for m in body["messages"]]
            with lock:
                asked.append(messages[-1]["content"])
                ids = text.prompt_ids(tokenizer, messages)[-LONGEST_PROMPT:]
                (done,) = engine.generate([Request("p", "da", ids, range(1), seed_of(0, "p", "da"))])
            answer = text.decode(tokenizer, done.token_ids)
            self._send(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": answer},
                            "finish_reason": done.finish_reason,
                        }
                    ],
                    "usage": {"prompt_tokens": len(ids), "completion_tokens": len(done.token_ids), "total_tokens": 0},
                }
            )

        def _send(self, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        engine.close()
