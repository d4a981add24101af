"""Chat completions of an OpenAI-compatible server (vLLM's own, or a provider's), several at a time, with patience.

The standard library suffices. The key is read from the environment when a request is made and stands in no message.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from croco.engines.base import Message
from croco.errors import UserError
from croco.show.visible import whole

PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # statuses that another attempt may not meet
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds
SHOWN = 200  # characters of a server's complaint


@dataclass(frozen=True)
class Chat:
    """One completion that is wanted."""

    messages: list[Message]
    seed: int


@dataclass(frozen=True)
class Reply:
    text: str
    finish_reason: str


@dataclass(frozen=True)
class ChatEndpoint:
    """A model behind `<url>/chat/completions`."""

    url: str
    model: str
    settings: Mapping[str, Any]
    """Further fields of the request: temperature, top_p, max_tokens, ..."""
    api_key_env: str | None
    """Name of the environment variable that holds the key; None sends no key."""
    retries: int
    timeout: float
    """Seconds for one attempt."""
    parallel: int
    """Requests under way at once."""
    sleep: Callable[[float], None] = time.sleep

    def complete(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Reply]]:
        """(position, reply) of every chat, in the order in which they come.

        Raises:
            UserError: the server refuses, or fails more often than `retries` allows.
        """
        waiting: queue.SimpleQueue[tuple[int, Chat]] = queue.SimpleQueue()
        come: queue.SimpleQueue[tuple[int, Reply | BaseException]] = queue.SimpleQueue()
        for numbered in enumerate(chats):
            waiting.put(numbered)
        over = threading.Event()

        def ask() -> None:
            with suppress(queue.Empty):
                while not over.is_set():
                    number, chat = waiting.get_nowait()
                    try:
                        come.put((number, self._patiently(chat)))
                    except BaseException as error:
                        come.put((number, error))

        # Not a pool of the standard library: at the program's end that one waits for requests under way, minutes each.
        for _ in range(min(self.parallel, len(chats))):
            threading.Thread(target=ask, name="endpoint", daemon=True).start()
        try:
            for _ in chats:
                number, reply = come.get()
                if isinstance(reply, BaseException):
                    raise reply
                yield number, reply
        finally:
            over.set()

    def _patiently(self, chat: Chat) -> Reply:
        for attempt in range(self.retries + 1):
            try:
                return self._once(chat)
            except urllib.error.HTTPError as error:
                reason, wait = self._reason(error), error.headers.get("Retry-After", "")
                if error.code not in PASSING:
                    raise UserError(f"judge.url: {self.url} refuses the request ({reason})") from None
            except (OSError, http.client.HTTPException) as error:  # no connection, a broken one, or no answer in time
                reason, wait = f"{type(error).__name__}: {error}", ""
            if attempt < self.retries:
                seconds = float(wait) if wait.isdigit() else FIRST_WAIT * 2**attempt
                self.sleep(min(seconds, LONGEST_WAIT))
        raise UserError(
            f"judge.url: {self.url} failed {self.retries + 1} times in a row, last with {self._without_key(reason)}; "
            "the same command goes on where it stopped"
        )

    def _once(self, chat: Chat) -> Reply:
        body = {"model": self.model, "messages": chat.messages, "seed": chat.seed, **self.settings}
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if self.api_key_env is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._key()}")
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            raw = response.read()
        try:
            choice = json.loads(raw)["choices"][0]
            said = str(choice["message"].get("content") or "")
            return Reply(whole(said), str(choice.get("finish_reason") or "stop"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            said = self._without_key(raw[:SHOWN].decode(errors="replace"))
            raise UserError(f"judge.url: {self.url} answers with no chat completion: {said!r}") from None

    def _key(self) -> str:
        key = os.environ.get(str(self.api_key_env), "")
        if not key:
            raise UserError(f"judge.api_key_env: the environment has no {self.api_key_env}")
        return key

    def _reason(self, error: urllib.error.HTTPError) -> str:
        if error.code in (401, 403):  # providers repeat parts of a wrong key
            return f"status {error.code}: the key in {self.api_key_env or 'judge.api_key_env'} will not do"
        said = " ".join(error.read(SHOWN).decode(errors="replace").split())
        return f"status {error.code}: {self._without_key(said)}"

    def _without_key(self, said: str) -> str:
        key = os.environ.get(self.api_key_env or "", "")
        return said.replace(key, "<key>") if key else said
