"""A program at the control API, for tests: sends commands, keeps every event and all audio with the time it came.

async with ControlClient(port) as client:
    await client.ask("session.open", line="client")
    await client.event("turn", state="speaking")
"""

import asyncio
import contextlib
import itertools
import json
import time
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.rig.peer import until

Event = dict[str, Any]
FRAME_SECONDS = 0.02
_PAUSE_SECONDS = 0.25
"""Frames come in real time, but not to the millisecond: less is no pause."""


class Refused(Exception):
    """The command was answered with an error."""

    def __init__(self, answer: Event) -> None:
        super().__init__(f"{answer['code']}: {answer['message']}")
        self.code = str(answer["code"])


class ControlClient:
    """`events` are those of the wire, each with `came`, the monotonic second of its arrival."""

    patience = 30.0
    """How many seconds it waits for an answer."""

    def __init__(self, port: int, *, token: str = "") -> None:
        self._url = f"ws://127.0.0.1:{port}/v1"
        self._token = token
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Event]] = {}
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._speaking: asyncio.Task[None] | None = None
        self.hello: Event = {}
        self.events: list[Event] = []
        self.audio: list[tuple[float, bytes]] = []
        self.rate = 16_000

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._socket = await connect(
            self._url,
            additional_headers=headers,
            max_queue=None,
            open_timeout=self.patience,
            ping_timeout=self.patience,
        )
        self.hello = json.loads(await asyncio.wait_for(self._socket.recv(), self.patience))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (self._speaking, self._reading):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        assert self._socket is not None
        await self._socket.close()

    async def ask(self, command: str, **fields: Any) -> Event:
        """Send a command; return its data, or raise Refused."""
        assert self._socket is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"type": command, "id": number, **fields}))
        body = await asyncio.wait_for(answer, self.patience)
        if body["type"] == "error":
            raise Refused(body)
        return dict(body["data"])

    async def state(self) -> Event:
        """The snapshot."""
        return await self.ask("status")

    async def no_session_left(self, seconds: float = 5.0) -> None:
        """A session is put away up to two seconds after the event that it is closed, or its call ended."""
        deadline = time.monotonic() + seconds
        while left := (await self.state())["sessions"]:
            assert time.monotonic() < deadline, f"after {seconds} s there is still {left}"
            await asyncio.sleep(0.05)

    # --- events -----------------------------------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """A place among the events: `since=mark` looks at what came after it."""
        return len(self.events)

    def of(self, topic: str, since: int = 0, **fields: Any) -> list[Event]:
        """The events of that type with those fields."""
        return [
            event
            for event in self.events[since:]
            if event["type"] == topic and all(event.get(name) == value for name, value in fields.items())
        ]

    async def event(self, topic: str, seconds: float = 20.0, *, since: int = 0, **fields: Any) -> Event:
        """Wait for such an event; return the first."""
        try:
            await until(lambda: self.of(topic, since, **fields), seconds)
        except AssertionError:
            raise AssertionError(
                f"no {topic} {fields} within {seconds} s; saw {self.events[since:]}"
            ) from None
        return self.of(topic, since, **fields)[0]

    async def answer(self, session: str, seconds: float = 30.0, *, since: int = 0) -> Event:
        """The next thing that is said on the session to its end: the final transcript of the assistant."""
        return await self.event(
            "transcript", seconds, since=since, session=session, role="assistant", final=True
        )

    async def idle(self, session: str, seconds: float = 60.0, *, since: int = 0) -> Event:
        return await self.event("turn", seconds, since=since, session=session, state="idle")

    # --- audio ------------------------------------------------------------------------------------------------------

    async def open_session(self, rate: int = 16_000) -> str:
        """A client line with a session, and a microphone that is silent but on."""
        self.rate = rate
        session = str((await self.ask("session.open", line="client", sample_rate=rate))["session"])
        self._saying = np.zeros(0, np.int16)
        self._opened = time.monotonic()
        self._speaking = asyncio.create_task(self._microphone())
        return session

    def say(self, samples: npt.NDArray[np.int16]) -> None:
        """Queue samples at the session's rate for the microphone."""
        self._saying = np.concatenate((self._saying, samples))

    def heard(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(pcm for _, pcm in self.audio), dtype="<i2")

    def heard_in_time(self) -> npt.NDArray[np.int16]:
        """What a loudspeaker at this client's place has sounded until now: with the silence between two answers."""
        pieces: list[npt.NDArray[np.int16]] = []
        clock = self._opened
        for came, pcm in [*self.audio, (time.monotonic(), b"")]:
            if came - clock > _PAUSE_SECONDS:
                pieces.append(np.zeros(round((came - clock) * self.rate), np.int16))
                clock = came
            pieces.append(np.frombuffer(pcm, dtype="<i2"))
            clock += len(pcm) / 2 / self.rate
        return np.concatenate(pieces)

    async def _microphone(self) -> None:
        assert self._socket is not None
        size = round(self.rate * FRAME_SECONDS)
        next_at = time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            while True:
                block, self._saying = self._saying[:size], self._saying[size:]
                await self._socket.send(np.pad(block, (0, size - len(block))).astype("<i2").tobytes())
                next_at += FRAME_SECONDS
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    async def _read(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosed):
            async for message in self._socket:
                if isinstance(message, bytes):
                    self.audio.append((time.monotonic(), message))
                    continue
                body = json.loads(message)
                waiting = self._answers.pop(body.get("id"), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(body)
                else:
                    self.events.append({**body, "came": time.monotonic()})
