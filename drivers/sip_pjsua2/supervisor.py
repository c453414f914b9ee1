# SPDX-License-Identifier: Apache-2.0
"""The client's thread: it starts the SIP process, carries the audio, watches the heartbeat, and starts the next one."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from drivers.sip_pjsua2 import wire
from drivers.sip_pjsua2.audio import Routes
from drivers.sip_pjsua2.process import GAVE_UP, ChildProcess

logger = logging.getLogger(__name__)

_STALLED: Final = 0.5
_OVERLOADED: Final = "the machine stood still, or has too much to do: look at its load"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    beat: float = 0.3
    hang: float = 1.5
    start: float = 30.0
    """A board of the smallest kind, with a slow card, has half a minute of other things to load at power-on."""
    stop: float = 3.6
    crash_delays: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
    fatal_delays: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)
    stable: float = 60.0
    keep_alive: float = 10.0
    media_silence: float = 10.0
    come_back: float = 20.0
    media_timeout: float = 30.0
    parent_timeout: float = 10.0
    answer_wait: float = 12.0


@dataclass(frozen=True, slots=True)
class Up:
    """The process runs and listens at `address`."""

    address: str


@dataclass(frozen=True, slots=True)
class Down:
    """The process ended; `restarting` unless waiting cannot help."""

    code: str
    message: str
    hint: str
    restarting: bool


@dataclass(frozen=True, slots=True)
class Message:
    """Anything else it said."""

    body: Mapping[str, Any] = field(default_factory=dict)


class Supervisor:
    """Made, started and stopped on the loop's thread; `heard` is called there."""

    def __init__(
        self,
        configure: Mapping[str, Any],
        routes: Routes,
        timing: Timing,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[Up | Down | Message], None],
    ) -> None:
        self._configure = configure
        self._routes = routes
        self._timing = timing
        self._loop = loop
        self._heard = heard
        self._stopping = threading.Event()
        self._finished = asyncio.Event()
        self._child: ChildProcess | None = None
        self._ready = False
        self._turned = 0.0
        self._thread = threading.Thread(target=self._run, name="sip-client", daemon=True)

    @property
    def pid(self) -> int:
        child = self._child
        return child.pid if child is not None else 0

    @property
    def silent_for(self) -> float:
        """Seconds since the thread turned; 0 while it waits to start the process again, or has ended."""
        turned = self._turned
        return time.monotonic() - turned if turned else 0.0

    def start(self) -> None:
        self._thread.start()

    def send(self, body: Mapping[str, Any]) -> bool:
        child = self._child
        return child is not None and child.send(body)

    async def stop(self) -> None:
        """The process is given `timing.stop` seconds to hang up and unregister, then it is killed."""
        self._stopping.set()
        await self._finished.wait()
        self._thread.join(1.0)

    def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                down = self._one_life()
                self._turned = 0.0
                if self._stopping.is_set():
                    break
                failures = 0 if time.monotonic() - began > self._timing.stable else failures
                self._tell(down)
                if not down.restarting:
                    self._stopping.wait()
                    break
                self._stopping.wait(self._delay(down, failures))
                failures += 1
        finally:
            self._turned = 0.0
            self._child = None
            self._on_loop(self._finished.set)

    def _delay(self, down: Down, failures: int) -> float:
        if down.code == "address_changed":
            return 0.0
        delays = self._timing.crash_delays if down.code in ("crashed", "hung") else self._timing.fatal_delays
        return delays[min(failures, len(delays) - 1)]

    def _one_life(self) -> Down:
        self._ready = False
        try:
            child = ChildProcess()
        except OSError as error:
            return Down("not_started", f"the SIP process cannot be started: {error.strerror}", "", True)
        self._child = child
        child.send(self._configure)
        down = self._serve(child)
        self._child = None
        # One that was told to stop has had its time in _finish; one that is gone is looked at for its exit status.
        status = child.end(0.0 if down.code == "hung" else 0.5)
        if down.code == "crashed" and status == GAVE_UP:
            down = Down("crashed", "the SIP process gave Handset up", _OVERLOADED, True)
        if down.code in ("crashed", "hung") and not self._stopping.is_set():
            logger.error("%s (exit status %d)\n%s", down.message, status, "\n".join(child.last_words))
        return down

    def _serve(self, child: ChildProcess) -> Down:
        last_beat = last_turn = time.monotonic()
        next_beat = 0.0
        limit = self._timing.start
        while not child.closed:
            self._turned = time.monotonic()
            if self._stopping.is_set():
                return self._finish(child)
            messages = child.wait(0.05)
            now = time.monotonic()
            for message in messages:
                if isinstance(message, wire.Audio):
                    self._routes.carry(message, child.send_audio)
                    continue
                if message.type == "fatal":
                    return _fatal(message.body)
                last_beat, limit = now, self._timing.hang
                self._take(message.body)
            if now - last_turn > _STALLED:
                last_beat = now  # it was this thread that stood still
            last_turn = now
            if now - last_beat > limit:
                return Down("hung", "the SIP process hung", "", True)
            if now >= next_beat:
                next_beat = now + self._timing.beat
                if not child.send({"type": "beat"}):
                    return Down("hung", "the SIP process does not read", "", True)
        return Down("crashed", "the SIP process crashed", "", True)

    def _finish(self, child: ChildProcess) -> Down:
        """Audio is over; what the process still reports on its way out is passed on."""
        child.send({"type": "stop"})
        deadline = time.monotonic() + self._timing.stop
        while not child.closed and time.monotonic() < deadline:
            for message in child.wait(0.05):
                if isinstance(message, wire.Control) and message.type != "fatal":
                    self._take(message.body)
        return Down("stopped", "the telephone was stopped", "", False)

    def _take(self, body: Mapping[str, Any]) -> None:
        if body["type"] == "ready":
            self._ready = True
            self._tell(Up(str(body.get("address", ""))))
        else:
            self._tell(Message(body))

    def _tell(self, notice: Up | Down | Message) -> None:
        self._on_loop(lambda: self._heard(notice))

    def _on_loop(self, function: Callable[[], object]) -> None:
        # A loop that is closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)


def _fatal(body: Mapping[str, Any]) -> Down:
    return Down(
        str(body.get("code", "fatal")),
        str(body.get("message", "")),
        str(body.get("hint", "")),
        bool(body.get("retryable", True)),
    )
