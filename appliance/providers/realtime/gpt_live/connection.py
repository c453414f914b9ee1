"""The connection over the SDK's socket: a reader, and a clock.

Sound goes up all the time: what the person says in their turns, and silence between, so that nothing of the room leaves
the device outside a turn.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ConnectionClosed

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    DiscardTurn,
    ProviderCommand,
    ProviderEvent,
    ProviderTrouble,
    RenewalDue,
    SendAudio,
    SendText,
    Setup,
    ToolResult,
)
from appliance.link_faults import closed
from appliance.providers.realtime.gpt_live.protocol import LiveProtocol, audio_message, commentary
from appliance.providers.realtime.gpt_live.setup import RATE, Message

if TYPE_CHECKING:
    from openai.resources.live.live import AsyncLiveConnection

NAME: Final = "GPT-Live"
CLOSE_SECONDS: Final = 0.3
CLOCK_SECONDS: Final = 0.02
LATE_SECONDS: Final = 0.04
"""The person's frames may come so late before silence is put in their place."""
LONGEST_SESSION: Final = 3_600.0
_LATEST: Final = 1e11
"""Unix seconds: what is later is no time."""
RENEW_BEFORE: Final = 300.0
OUTBOX_BOUND: Final = 10_000
SILENCE: Final = audio_message(bytes(round(RATE * CLOCK_SECONDS) * 2))
logger = logging.getLogger(__name__)


class LiveConnection:
    """Implements interfaces.Connection. A reader, and a clock that fills the person's silence; both end with it."""

    def __init__(self, socket_: "AsyncLiveConnection", setup: Setup, lasts: float) -> None:
        self._socket = socket_
        self._protocol = LiveProtocol(setup.history)
        self._outbox: deque[ProviderEvent] = deque()
        self._came = asyncio.Event()
        self._fault: ApplianceError | None = None
        self._over = False
        self._told: set[str] = set()
        loop = asyncio.get_running_loop()
        self._covered_until = loop.time()
        self._renew_at = loop.time() + max(lasts - RENEW_BEFORE, lasts / 2)
        self._renew_within = min(RENEW_BEFORE, lasts / 2)
        self._jobs = (
            loop.create_task(self._read(), name="gpt_live reader"),
            loop.create_task(self._keep_time(), name="gpt_live clock"),
        )

    async def send(self, command: ProviderCommand) -> None:
        match command:
            case SendAudio():
                self._tell(self._protocol.begin_turn(command.turn))
                now = asyncio.get_running_loop().time()
                self._covered_until = max(self._covered_until, now) + command.frame.duration_ms / 1000
                await self._put(audio_message(command.frame.pcm))
            case SendText():
                now = asyncio.get_running_loop().time()
                self._tell(self._protocol.typed(command.turn, command.text, now))
                if command.text.strip():
                    await self._send([commentary(f"The person typed: {command.text}")])
            case CancelResponse():
                self._tell(self._protocol.cancel(command.response))
            case ToolResult():
                await self._send(self._protocol.result(command))
            case CommitTurn():
                # The model is not told: it hears by itself that the person has stopped.
                self._tell(self._protocol.end_turn(command.turn, asyncio.get_running_loop().time()))
            case DiscardTurn():
                self._protocol.drop_turn()

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        while True:
            while self._outbox:
                yield self._outbox.popleft()
            if self._over:
                break
            self._came.clear()
            await self._came.wait()
        if self._fault is not None:
            raise self._fault

    def counters(self) -> Mapping[str, int]:
        return dict(self._protocol.counters)

    async def close(self) -> None:
        self._end(None)
        for job in self._jobs:
            job.cancel()
        await asyncio.wait(self._jobs, timeout=0.5)
        await hang_up(self._socket)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                data = await self._socket.recv_bytes()
                try:
                    event = decoded(data)
                except ValueError:
                    self._tell([ProviderTrouble("bad_message", "the service sent what is no JSON object")])
                    continue
                told, answers = self._protocol.take(event, loop.time())
                self._tell(told)
                await self._send(answers)
        except ApplianceError as fault:
            self._end(fault)
        except ConnectionClosed as fault:
            self._end(closed(NAME, fault))
        except Exception as fault:  # noqa: BLE001 - whatever it is, the session must not wait for ever
            logger.error("GPT-Live's reader failed: %s", kind_and_place(fault))
            self._end(ProviderUnavailable(f"{NAME}: {type(fault).__name__}"))

    async def _keep_time(self) -> None:
        """Every 20 ms: silence where the person says nothing, and the ends of responses."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(CLOCK_SECONDS)
                now = loop.time()
                self._tell(self._protocol.tick(now))
                if now >= self._renew_at:
                    self._renew_at = float("inf")
                    self._tell([RenewalDue(self._renew_within)])
                while now - self._covered_until >= LATE_SECONDS:
                    self._covered_until += CLOCK_SECONDS
                    await self._put(SILENCE)
        except ProviderUnavailable as fault:
            self._end(fault)

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self._put(encoded(message))

    async def _put(self, text: str) -> None:
        if self._over:
            raise ProviderUnavailable("the connection is gone")
        try:
            await self._socket.send_raw(text)
        except (ConnectionClosed, OSError) as fault:
            raise ProviderUnavailable("the connection is gone") from fault

    def _tell(self, events: Iterable[ProviderEvent]) -> None:
        for event in events:
            if isinstance(event, ProviderTrouble):
                if event.code in self._told:
                    continue
                self._told.add(event.code)
            self._outbox.append(event)
        if len(self._outbox) > OUTBOX_BOUND:
            self._end(ProviderUnavailable("more came than the session takes"))
        self._came.set()

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._over:
            self._over = True
            self._fault = fault
            self._came.set()


def encoded(message: Message) -> str:
    """Lone surrogates, which no socket takes, become question marks."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def decoded(data: bytes | str) -> Message:
    """Raise ValueError for what is no JSON object."""
    try:
        event = json.loads(data)
    except RecursionError as fault:
        raise ValueError("too deep") from fault
    if isinstance(event, dict):
        return event
    raise ValueError("no object")


def lasts(event: Message) -> float:
    """Seconds until the session expires; LONGEST_SESSION where the service gives no sane time."""
    session = event.get("session")
    expires_at = session.get("expires_at") if isinstance(session, Mapping) else None
    if isinstance(expires_at, int | float) and 0 < expires_at < _LATEST:
        left = expires_at - time.time()
        return left if 1.0 < left <= 86_400.0 else LONGEST_SESSION
    return LONGEST_SESSION


async def hang_up(socket_: "AsyncLiveConnection") -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS * 3):
            await socket_.close()
    except Exception as fault:  # noqa: BLE001 - it is being left
        logger.info("GPT-Live's connection did not close cleanly: %s", kind_and_place(fault))
