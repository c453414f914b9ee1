"""Our own telephone on a test's desk: its events and the audio of its calls are written down, and it speaks a tone.

async with Desk(server=registrar.server, user="handset") as desk:
    call = await desk.incoming()
    desk.telephone.answer(call)
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from appliance.interfaces import (
    CallReport,
    IncomingCall,
    MediaReport,
    RegistrationReport,
    TelephoneEvent,
    TelephoneReady,
)
from drivers.sip_pjsua2.client import Pjsua2Telephone
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig.peer import until
from tests.rig.ports import free_port, free_range
from tests.rig.sip_peers import password_of

RATE = 16_000


class Tone:
    """A playout source: an endless sine."""

    def __init__(self, hertz: float, amplitude: float = 0.3) -> None:
        self._step = 2 * np.pi * hertz / RATE
        self._amplitude = amplitude * 32767
        self._at = 0
        self.pulls = 0

    def __call__(self, samples: int) -> bytes:
        at = np.arange(self._at, self._at + samples)
        self._at += samples
        self.pulls += 1
        return bytes((self._amplitude * np.sin(self._step * at)).astype("<i2").tobytes())


class Ear:
    """A capture sink: everything, with the time of each frame."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, bytes]] = []

    def __call__(self, pcm: bytes, at: float) -> None:
        self.frames.append((at, pcm))

    def samples(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(pcm for _, pcm in self.frames), dtype="<i2")


class Desk:
    """`settings` are those of `[sip]`; loopback, free ports and the registrar's password of `user` where not said."""

    def __init__(self, *, timing: Timing | None = None, tone: float = 1000, **settings: Any) -> None:
        first = free_range(20)
        user = settings.get("user", "")
        self.settings: dict[str, Any] = {
            "server": "",
            "user": user,
            "password": password_of(user),
            "port": free_port(),
            "bind": "127.0.0.1",
            "rtp_ports": f"{first}-{first + 19}",
            "codecs": ("G722", "opus", "PCMU", "PCMA"),
            "max_calls": 2,
            **settings,
        }
        self.telephone = Pjsua2Telephone(self.settings, timing)
        self.events: list[TelephoneEvent] = []
        self.times: list[float] = []
        self.ears: dict[str, Ear] = {}
        self.tones: dict[str, Tone] = {}
        self._hertz = tone

    async def __aenter__(self) -> Self:
        await self.telephone.start(self.post)
        if self.settings["server"]:
            await self.registered()
        else:
            await self.until(TelephoneReady)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.telephone.stop()

    def post(self, event: TelephoneEvent) -> None:
        self.events.append(event)
        self.times.append(time.monotonic())

    def of(self, kind: type[TelephoneEvent], since: int = 0, **fields: Any) -> list[Any]:
        """The events of that kind with those fields, from the `since`th event on."""
        return [
            event
            for event in self.events[since:]
            if isinstance(event, kind)
            and all(getattr(event, name) == value for name, value in fields.items())
        ]

    async def until(
        self, kind: type[TelephoneEvent], *, seconds: float = 10.0, since: int = 0, **fields: Any
    ) -> Any:
        """Wait for such an event; return the first."""
        what = f"{kind.__name__} {fields}; saw {self.events[since:]}"
        try:
            await until(lambda: self.of(kind, since, **fields), seconds, what)
        except AssertionError:
            raise AssertionError(
                f"no {kind.__name__} {fields} within {seconds} s; saw {self.events[since:]}"
            ) from None
        return self.of(kind, since, **fields)[0]

    async def registered(self, *, seconds: float = 10.0, since: int = 0) -> None:
        await self.until(RegistrationReport, state="registered", seconds=seconds, since=since)

    async def incoming(self, *, since: int = 0) -> str:
        """The id of the call that comes in."""
        return str((await self.until(IncomingCall, since=since)).call)

    def attach(self, call: str) -> None:
        self.ears[call], self.tones[call] = Ear(), Tone(self._hertz)
        self.telephone.attach(call, self.ears[call], self.tones[call])

    async def pick_up(self, *, since: int = 0) -> str:
        """Answer what comes in, with audio; return the call once media runs."""
        call = await self.incoming(since=since)
        self.attach(call)
        self.telephone.answer(call)
        await self.until(MediaReport, call=call, active=True, since=since)
        await self.until(CallReport, call=call, state="connected", since=since)
        return call

    async def dial(self, to: str) -> str:
        """Call, with audio; the call's id at once."""
        call = self.telephone.dial(to)
        self.attach(call)
        return call

    async def state(self, call: str, state: str, *, seconds: float = 10.0, since: int = 0) -> CallReport:
        report = await self.until(CallReport, call=call, state=state, seconds=seconds, since=since)
        assert isinstance(report, CallReport)
        return report

    def heard(self, call: str, last_ms: int) -> npt.NDArray[np.int16]:
        """The last milliseconds that came in."""
        return self.ears[call].samples()[-last_ms * RATE // 1000 :]

    @property
    def uri(self) -> str:
        return f"sip:handset@127.0.0.1:{self.settings['port']}"


class Receptionist:
    """Does the same with every call that comes to a desk, until it is stopped."""

    def __init__(self, desk: Desk, take: Callable[[IncomingCall], None]) -> None:
        self._desk = desk
        self._take = take
        self._done = 0
        self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            events = self._desk.events[self._done :]
            self._done += len(events)
            for event in events:
                if isinstance(event, IncomingCall):
                    self._take(event)
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def settle(seconds: float) -> None:
    """Let a call run for a while: audio takes the time it takes."""
    await asyncio.sleep(seconds)
