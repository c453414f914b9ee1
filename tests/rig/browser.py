"""Chromium without a screen, at one page: what is shown, what is pressed, and what the console complains of.

async with Browser("http://127.0.0.1:8765/") as page:
    await page.until("document.title === 'handset'")
    await page.press("#mute")
    page.complaints      # errors of the page: refused by the policy, not loaded, thrown
"""

import asyncio
import base64
import itertools
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.rig.peer import Peer, start_process, until

SECONDS = 20.0
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
)


def browser_missing() -> bool:
    """Whether this machine has no Chromium."""
    return shutil.which("chromium") is None


class Browser(Peer):
    """`width` and `height` are the page's, in pixels."""

    def __init__(self, url: str, *, width: int = 800, height: int = 1000) -> None:
        super().__init__("browser")
        self._url = url
        self._size = f"--window-size={width},{height}"
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []

    async def start(self) -> None:
        profile = self.directory / "profile"
        arguments = ["chromium", *_FLAGS, self._size, f"--user-data-dir={profile}", "about:blank"]
        self.process = start_process(arguments, self.directory, "chromium.log")
        told = profile / "DevToolsActivePort"
        await until(lambda: told.exists() and "\n" in told.read_text(), SECONDS, "the browser starts")
        port, path = told.read_text().split()[:2]
        self._socket = await connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        self._reading = asyncio.create_task(self._read(self._socket))
        target = (await self._ask("Target.createTarget", {"url": "about:blank"}))["targetId"]
        attached = await self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable", session=self._session)
        await self._ask("Page.navigate", {"url": self._url}, session=self._session)

    async def stop(self, *_: Any) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        await super().stop()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is on the page; None where it throws."""
        fields = {"expression": expression, "returnByValue": True}
        return (await self._ask("Runtime.evaluate", fields, session=self._session))["result"].get("value")

    async def until(self, expression: str, seconds: float = SECONDS) -> None:
        """Wait until a JavaScript expression is true on the page."""
        async with asyncio.timeout(seconds):
            while not await self.value(expression):  # noqa: ASYNC110 - the page wakes nobody
                await asyncio.sleep(0.05)

    async def press(self, selector: str) -> None:
        """Press what can be seen there and is not disabled, once it can."""
        seen = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"!!{seen} && {seen}.offsetParent !== null && !{seen}.disabled")
        await self.value(f"{seen}.click()")

    async def write(self, selector: str, text: str) -> None:
        """Put a text into a field."""
        await self.value(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")

    async def picture(self, path: Path) -> None:
        """The page as a PNG file."""
        taken = await self._ask("Page.captureScreenshot", {"format": "png"}, session=self._session)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))

    async def _ask(self, method: str, fields: dict[str, Any] | None = None, *, session: str = "") -> Any:
        assert self._socket is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": fields or {}}
        await self._socket.send(json.dumps({**message, **({"sessionId": session} if session else {})}))
        return await asyncio.wait_for(answer, SECONDS)

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._answers.pop(message["id"])
                if "error" in message:
                    answer.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(message["params"]["exceptionDetails"]["text"])
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])
