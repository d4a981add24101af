"""A headless Chromium, driven over its DevTools protocol: what a page shows, what it asks for, what it complains about."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
PATIENCE = 30  # seconds
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@dataclass
class Tab:
    """An open page; call `goto` first."""

    loop: asyncio.AbstractEventLoop
    socket: Any
    requests: list[str] = field(default_factory=list)
    """Addresses asked for."""
    complaints: list[str] = field(default_factory=list)
    """Console lines, exceptions, refused loads."""
    _count: int = 0
    _loaded: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        return self.loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), PATIENCE))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        number = self._count
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self._next()
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]

    async def _next(self) -> dict[str, Any]:
        said = json.loads((await self.socket.receive()).data)
        method, parameters = said.get("method"), said.get("params", {})
        if method == "Network.requestWillBeSent" and parameters["request"]["url"] != "about:blank":
            self.requests.append(parameters["request"]["url"])
        elif method in COMPLAINTS:
            self.complaints.append(json.dumps(parameters)[:500])
        elif method == "Page.loadEventFired":
            self._loaded += 1
        return said

    def goto(self, address: str) -> None:
        """Open an address, with nothing asked for or complained of yet, and wait until it is loaded."""
        self.call("Page.navigate", url="about:blank")  # an address that differs in its fragment only would load nothing
        self.requests.clear()
        self.complaints.clear()

        async def load() -> None:
            await self._call("Page.navigate", {"url": address})
            before = self._loaded
            while self._loaded == before:
                await self._next()

        self.loop.run_until_complete(asyncio.wait_for(load(), PATIENCE))

    def tell(self, expression: str) -> Any:
        """The value of a JavaScript expression, after the events that wait have been handled."""
        settled = f"new Promise(done => setTimeout(() => done({expression}), 50))"
        made = self.call("Runtime.evaluate", expression=settled, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text="\r" * (code == 13)
            )

    def resize(self, width: int, height: int, mobile: bool = True) -> None:
        """A screen, by default a phone's, as far as layout goes."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A browser with one tab, its files under `profile`."""
    import aiohttp

    assert PROGRAM is not None
    errors = profile / "stderr"
    profile.mkdir(parents=True, exist_ok=True)
    with errors.open("w") as file:
        browser = subprocess.Popen([PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=file)

    async def connect() -> tuple[Any, Any]:
        while not (found := re.search(r"ws://([\d.:]+)/", errors.read_text())):
            assert browser.poll() is None, errors.read_text()
            await asyncio.sleep(0.05)
        session = aiohttp.ClientSession(trust_env=False)
        async with session.get(f"http://{found[1]}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

    loop = asyncio.new_event_loop()
    try:
        session, socket = loop.run_until_complete(asyncio.wait_for(connect(), PATIENCE))
        opened = Tab(loop, socket)
        for domain in ("Page", "Network", "Runtime", "Log"):
            opened.call(f"{domain}.enable")
        yield opened
        loop.run_until_complete(socket.close())
        loop.run_until_complete(session.close())
    finally:
        browser.terminate()
        browser.wait(PATIENCE)
        loop.close()
