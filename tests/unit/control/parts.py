"""The parts behind the control server, small and in memory: they do what they are told and remember it."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance.bus import EventBus
from appliance.config.schema import Control
from appliance.control.auth import Tokens
from appliance.control.limits import Limits
from appliance.control.ports import Actions
from appliance.control.server import ControlServer
from appliance.errors import LineBusy, NotPossible, UnknownName
from appliance.events import SessionStateChanged, Transcript
from appliance.health import Health
from appliance.interfaces import LineKind


def _no_lag() -> float:
    return 0.0


class MemoryPlayout:
    """Plays what `queue` was given; silence otherwise."""

    def __init__(self) -> None:
        self.lag: Callable[[], float] = _no_lag
        self.waiting = b""
        self.pulls = 0

    def queue(self, pcm: bytes) -> None:
        self.waiting += pcm

    def pull(self, samples: int) -> bytes:
        self.pulls += 1
        piece, self.waiting = self.waiting[: samples * 2], self.waiting[samples * 2 :]
        return piece.ljust(samples * 2, b"\0")

    def active(self) -> bool:
        return bool(self.waiting)


class MemoryCapture:
    def __init__(self) -> None:
        self.heard = b""

    def feed(self, pcm: bytes, at: float) -> None:
        self.heard += pcm


class MemorySession:
    def __init__(self, id: str, line: "MemoryLine", bus: EventBus, agent: str) -> None:
        self.id = id
        self.line = line
        self.agent = agent
        self.done: list[tuple[Any, ...]] = []
        self.closed = ""
        self._bus = bus

    def send_text(self, text: str) -> int:
        self.done.append(("text", text))
        answer = f"you said {text}"
        self._bus.publish(
            Transcript(
                session=self.id,
                line=self.line.id,
                turn=1,
                role="assistant",
                text=answer,
                final=True,
                heard=answer,
            )
        )
        if text == "hang up":
            self.end("hang_up")
        return 1

    def end(self, reason: str) -> None:
        """By itself."""
        self.closed = reason
        self.line.session = None
        self._bus.publish(
            SessionStateChanged(
                session=self.id, line=self.line.id, from_="active", to="closed", reason=reason
            )
        )

    def say(self, text: str, *, interruptible: bool = True, priority: str = "normal") -> str:
        self.done.append(("say", text, interruptible, priority))
        return "u1"

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        self.done.append(("notify", text, label, urgent))

    def interrupt(self, reason: str) -> None:
        self.done.append(("interrupt", reason))

    async def close(self, reason: str) -> None:
        if not self.closed:
            self.end(reason)


class MemoryLine:
    def __init__(self, id: str, kind: LineKind) -> None:
        self.id = id
        self.kind = kind
        self.playout = MemoryPlayout()
        self.capture = MemoryCapture()
        self.session: MemorySession | None = None
        self.muted = False
        self.volume = 50
        self.pressed: list[bool] = []
        self.device: dict[str, Any] = {
            kind: {"name": "USB", "state": "present"} for kind in ("input", "output")
        }

    def set_muted(self, on: bool) -> None:
        self.muted = on

    def set_volume(self, level: int) -> int:
        self.volume = min(level, 90)
        return self.volume

    def press(self) -> None:
        self.pressed.append(True)

    def release(self) -> None:
        self.pressed.append(False)


class MemoryLines:
    def __init__(self, bus: EventBus, max_sessions: int = 2) -> None:
        self.all: dict[str, MemoryLine] = {"room": MemoryLine("room", LineKind.ROOM)}
        self.closed: list[str] = []
        self.level_watchers = 0
        self._bus = bus
        self._max = max_sessions
        self._numbers = itertools.count(1)

    def open_line(
        self, kind: LineKind, *, capture_rate: int, playout_rate: int, line_id: str | None = None
    ) -> MemoryLine:
        line = MemoryLine(line_id or f"{kind}-{next(self._numbers)}", kind)
        self.all[line.id] = line
        return line

    async def close_line(self, line_id: str, reason: str) -> None:
        line = self.all.pop(line_id, None)
        if line is not None:
            self.closed.append(line_id)
            if line.session is not None:
                await line.session.close(reason)

    def open_session(
        self, line: MemoryLine, *, agent: str = "", user: str = "", greeting: bool = True
    ) -> MemorySession:
        self.require_agent(agent)
        if sum(other.session is not None for other in self.all.values()) >= self._max:
            raise LineBusy("every session slot is taken")
        line.session = MemorySession(f"s{next(self._numbers)}", line, self._bus, agent)
        return line.session

    def require_agent(self, name: str) -> None:
        if name == "nobody":
            raise UnknownName("there is no agent 'nobody'")

    def line(self, line_id: str) -> MemoryLine:
        if line_id not in self.all:
            raise UnknownName(f"there is no line {line_id!r}")
        return self.all[line_id]

    def session(self, session_id: str) -> MemorySession:
        for line in self.all.values():
            if line.session is not None and line.session.id == session_id:
                return line.session
        raise UnknownName(f"there is no session {session_id!r}")

    def watch_levels(self) -> Callable[[], None]:
        self.level_watchers += 1

        def leave() -> None:
            self.level_watchers -= 1

        return leave

    def status(self) -> dict[str, Any]:
        lines = [
            {
                "id": line.id,
                "kind": str(line.kind),
                "muted": line.muted,
                "volume": line.volume,
                "duplex": "full",
                "session": line.session.id if line.session else None,
                "device": line.device,
            }
            for line in self.all.values()
        ]
        sessions = [{"id": line.session.id, "line": line.id} for line in self.all.values() if line.session]
        return {"lines": lines, "sessions": sessions}


class MemoryCalls:
    def __init__(self) -> None:
        self.registration: Mapping[str, Any] = {"account": "default", "state": "registered", "server": "pbx"}
        self.address = "127.0.0.1:5060"
        self.fault = ""
        self.do_not_disturb = False
        self.done: list[tuple[Any, ...]] = []
        self.live: dict[str, str] = {"c1": "incoming"}

    def _note(self, what: str, call: str | None, *more: Any) -> str:
        if call is None:
            call = next(iter(self.live))
        if call not in self.live:
            raise UnknownName(f"there is no call {call!r}")
        self.done.append((what, call, *more))
        return call

    def registrations(self) -> list[dict[str, Any]]:
        return [dict(self.registration)]

    def set_do_not_disturb(self, on: bool) -> None:
        self.do_not_disturb = on

    def dial(self, to: str, *, agent: str = "", account: str = "", line: str = "") -> str:
        self.done.append(("dial", to, agent, *([account] if account else []), *([line] if line else [])))
        self.live["c2"] = "dialing"
        return "c2"

    def answer(self, call: str | None = None, line: str = "") -> str:
        return self._note("answer", call, *([line] if line else []))

    def reject(self, call: str | None = None, code: int = 603) -> str:
        return self._note("reject", call, code)

    def hang_up(self, call: str | None = None) -> str:
        return self._note("hang_up", call)

    def hold(self, call: str | None = None) -> str:
        return self._note("hold", call)

    def resume(self, call: str | None = None) -> str:
        return self._note("resume", call)

    def transfer(self, call: str | None, to: str, mode: str = "blind", summary: str = "") -> str:
        if mode == "attended":
            raise NotPossible("only blind transfer")
        return self._note("transfer", call, to, mode)

    def send_dtmf(self, call: str | None, digits: str) -> str:
        return self._note("dtmf", call, digits)

    def record(self, call: str | None, on: bool, paused: bool | None = None) -> str:
        return self._note("record", call, on, *(() if paused is None else (paused,)))

    def status(self) -> list[dict[str, Any]]:
        return [{"call": call, "state": state, "peer": "sip:1@pbx"} for call, state in self.live.items()]


class MemoryStore:
    def list_calls(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]:
        return [{"call": "one", "limit": limit, "before": before}]

    def list_sessions(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]:
        return [{"id": "old", "limit": limit, "before": before}]

    def get_session(self, session: str) -> dict[str, Any]:
        if session != "old":
            raise UnknownName(f"there is no session {session!r}")
        return {"id": "old", "turns": []}


async def _diagnosis() -> Mapping[str, Any]:
    return {"checks": []}


class Desk:
    """A control server on a free port, with everything behind it in reach."""

    def __init__(
        self, directory: Path, limits: Limits | None = None, actions: Actions | None = None, **settings: Any
    ) -> None:
        self.bus = EventBus()
        self.lines = MemoryLines(self.bus)
        self.calls = MemoryCalls()
        self.health = Health()
        self.tokens = Tokens(directory)
        control = Control(**settings).model_copy(update={"port": 0})
        self.server = ControlServer(
            control,
            self.bus,
            self.lines,
            self.calls,
            MemoryStore(),
            self.health,
            self.tokens,
            actions or Actions(diagnose=_diagnosis),
            version="0.0",
            device={"name": "desk"},
            providers=("cloud", "offline"),
            limits=limits,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait, at most 5 s, until something about the parts is true."""
        async with asyncio.timeout(5):
            while not true():  # noqa: ASYNC110 - what is looked at has no event to wait for
                await asyncio.sleep(0.01)

    def dial(self, **options: Any) -> connect:
        return connect(f"ws://{self.address}/v1", proxy=None, compression=None, **options)


@contextlib.asynccontextmanager
async def desk(
    directory: Path, limits: Limits | None = None, actions: Actions | None = None, **settings: Any
) -> AsyncIterator[Desk]:
    """A running server, stopped at the end."""
    made = Desk(directory, limits, actions, **settings)
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.stop()


async def receive(client: ClientConnection) -> Any:
    """The next text frame; binary ones are skipped."""
    async with asyncio.timeout(5):
        while True:
            frame = await client.recv()
            if isinstance(frame, str):
                return json.loads(frame)


async def ask(client: ClientConnection, type_: str, id_: Any = "1", **fields: Any) -> Any:
    """Send a command and return its one answer; events before it are skipped."""
    await client.send(json.dumps({"type": type_, "id": id_, **fields}))
    while True:
        message = await receive(client)
        if message["type"] in ("result", "error") and message.get("id") is not None:
            assert message["id"] == id_
            return message


async def close_code(client: ClientConnection) -> int | None:
    """Read until the server closes, and return its code."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            async for _ in client:
                pass
    return client.close_code
