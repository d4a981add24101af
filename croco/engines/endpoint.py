"""Chat completions of an OpenAI-compatible server (vLLM's own, or a provider's), several at a time, with patience.

OpenAI's client asks, waits where the server says so (`Retry-After`) and asks again. Its event loop has a thread of its own, in
which requests under way are given up when nobody waits for them any more: neither an error nor Ctrl-C waits for a server. The
key is read from the environment when requests are made and stands in no message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from croco.engines.base import Message
from croco.errors import UserError
from croco.show.visible import whole

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

log = logging.getLogger(__name__)
SHOWN = 200  # characters of a server's complaint
TALKATIVE = ("openai", "httpx", "httpx2")  # loggers that name every request
OF_A_FIELD = (400, 415, 422)  # statuses by which servers refuse a field that they do not know
LONGEST_CONNECT = 30.0  # seconds; an answer may take longer, a connection does not
UNSENT = ("OpenAI-Organization", "OpenAI-Project")  # the client takes them from the environment, for whatever server


@dataclass(frozen=True)
class Chat:
    """One completion that is wanted."""

    messages: list[Message]
    seed: int


@dataclass(frozen=True)
class Reply:
    text: str
    finish_reason: str


Numbered = tuple[int, Reply] | BaseException


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
    response_format: Mapping[str, Any] | None = None
    """The field of that name, which holds an answer to a form. A server that refuses it is asked without; one line says so."""
    unformed: list[str] = field(default_factory=list)
    """Why the server does not take it, once it is known."""

    def complete(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Reply]]:
        """(position, reply) of every chat, in the order in which they come.

        Raises:
            UserError: the server refuses, or fails more often than `retries` allows.
        """
        key = self._key()
        come: queue.SimpleQueue[Numbered] = queue.SimpleQueue()
        loop = asyncio.new_event_loop()
        asking = loop.create_task(self._ask(chats, key, come.put))

        def work() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(asking)
            except asyncio.CancelledError:
                pass
            except BaseException as error:  # also what no server says: of the client itself
                come.put(error)
            finally:
                loop.close()

        worker = threading.Thread(target=work, name="endpoint", daemon=True)
        worker.start()
        try:
            for _ in chats:
                found = come.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            with suppress(RuntimeError):  # the loop is closed: all is done
                loop.call_soon_threadsafe(asking.cancel)

    async def _ask(self, chats: Sequence[Chat], key: str | None, put: Any) -> None:
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        waiting = iter(enumerate(chats))

        async def one_after_another(client: AsyncOpenAI) -> None:
            for number, chat in waiting:
                try:
                    put((number, await self._reply(client, chat, key)))
                except UserError as error:  # ends the asking, from outside
                    put(error)

        async with self._client(key) as client:
            await asyncio.gather(*(one_after_another(client) for _ in range(min(self.parallel, len(chats)))))

    def _client(self, key: str | None) -> AsyncOpenAI:
        from openai import AsyncOpenAI, Timeout

        patience = Timeout(self.timeout, connect=min(self.timeout, LONGEST_CONNECT))
        return AsyncOpenAI(base_url=self.url, api_key=key or "none", timeout=patience, max_retries=self.retries)

    async def _reply(self, client: AsyncOpenAI, chat: Chat, key: str | None, formed: bool = True) -> Reply:
        import openai

        formed = formed and self.response_format is not None and not self.unformed
        body = {"seed": chat.seed, **self.settings, **({"response_format": self.response_format} if formed else {})}
        unsent: dict[str, Any] = dict.fromkeys(UNSENT if key else (*UNSENT, "Authorization"), openai.Omit())
        create = client.chat.completions.with_raw_response.create
        try:
            raw = await create(
                model=self.model,
                messages=chat.messages,  # type: ignore[arg-type]
                extra_headers=unsent,
                extra_body=body,
            )
        except openai.APIStatusError as error:
            reason = self._reason(error, key)
            if formed and error.status_code in OF_A_FIELD:
                reply = await self._reply(client, chat, key, formed=False)
                self._ask_without(reason)
                return reply
            if error.status_code < 500 and error.status_code not in (408, 409, 429):
                raise UserError(f"judge.url: {self.url} refuses the request ({reason})") from None
        except (openai.APIConnectionError, OSError) as error:  # no connection, a broken one, or no answer in time
            cause = error.__cause__ or error
            reason = f"{type(cause).__name__}: {_without(key, str(cause) or str(error))}"
        else:
            return self._read(raw.content, key)
        raise UserError(
            f"judge.url: {self.url} failed {self.retries + 1} times in a row, last with {reason}; "
            "the same command goes on where it stopped"
        )

    def _ask_without(self, reason: str) -> None:
        if not self.unformed:
            log.warning(
                "judge.url: %s takes no response_format (%s); it is asked without, and answers as it will",
                self.url,
                reason,
            )
        self.unformed.append(reason)

    def _read(self, content: bytes, key: str | None) -> Reply:
        import json

        try:
            choice = json.loads(content)["choices"][0]
            said = str(choice["message"].get("content") or "")
            return Reply(whole(said), str(choice.get("finish_reason") or "stop"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            said = _without(key, content[:SHOWN].decode(errors="replace"))
            raise UserError(f"judge.url: {self.url} answers with no chat completion: {said!r}") from None

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UserError(f"judge.api_key_env: the environment has no {self.api_key_env}")
        if not (key.isascii() and key.isprintable()):
            raise UserError(f"judge.api_key_env: {self.api_key_env} holds characters that no key has")
        return key

    def _reason(self, error: APIStatusError, key: str | None) -> str:
        if error.status_code in (401, 403):  # providers repeat parts of a wrong key
            return f"status {error.status_code}: the key in {self.api_key_env or 'judge.api_key_env'} will not do"
        said = " ".join(_without(key, error.response.text).split())[:SHOWN]
        return f"status {error.status_code}: {said}"


def _without(key: str | None, said: str) -> str:
    return said.replace(key, "<key>") if key else said
