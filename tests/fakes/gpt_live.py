"""OpenAI's GPT-Live service, as far as a device sees it: a WebSocket server that refuses what the real one refuses.

    async with GptLiveServer() as server:
        server.will_say("It is noon.", seconds=2.0)     # what follows the next speech that it hears
        server.will_call("get_time", {})                # the backend calls a tool first
        server.drop()                                   # the connection is reset
        server.reject_credentials()
        assert server.violations == []

It hears speech by its loudness, answers 400 ms after it falls silent, and falls silent itself when it is talked over.
Each answer's sound is noise of its own, `answer_sound(number)`, so that a recording shows which answer it is.
"""

import asyncio
import base64
import contextlib
import http
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

KEY: Final = "sk-live-test"
RATE: Final = 16_000
LOUD: Final = 500
END_MS: Final = 400.0
CHUNK_MS: Final = 40
SPEED: Final = 2.0
"""How many times faster than real time it speaks: the service is ahead of its sound, too."""
_SESSION_FIELDS: Final = {
    "model", "instructions", "audio", "delegation", "input", "store", "triggers", "safety_identifier", "client",
}  # fmt: skip


def answer_sound(number: int, seconds: float) -> "np.ndarray[Any, np.dtype[np.int16]]":
    """The sound of the server's answer `number`: noise that no other answer has."""
    noise = np.random.default_rng(number).standard_normal(round(seconds * RATE)) * 3_000
    return np.asarray(np.clip(noise, -30_000, 30_000), dtype="<i2")


@dataclass(frozen=True)
class Say:
    text: str
    seconds: float
    call: tuple[str, str] | None = None


@dataclass
class LiveSession:
    """What one connection sent, and where it stands."""

    config: Mapping[str, Any] = field(default_factory=dict)
    received: bytearray = field(default_factory=bytearray)
    notes: list[Mapping[str, Any]] = field(default_factory=list)
    results: list[Mapping[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, float]] = field(default_factory=list)
    """Numbers of the answers, and the seconds that were sent of each."""
    calls: dict[str, Say] = field(default_factory=dict)
    voiced_ms: float = 0.0
    silent_ms: float = 0.0
    talked_over: asyncio.Event = field(default_factory=asyncio.Event)
    speaking: asyncio.Task[None] | None = None

    def samples(self) -> "np.ndarray[Any, np.dtype[np.int16]]":
        return np.frombuffer(bytes(self.received), dtype="<i2")


class GptLiveServer:
    """`base_url` is what `[providers.gpt_live]` takes."""

    def __init__(self) -> None:
        self.sessions: list[LiveSession] = []
        self.violations: list[str] = []
        self.expires_in = 3_600.0
        self.will_expire_in: deque[float] = deque()
        """The same for the next sessions, one each."""
        self._script: deque[Say] = deque()
        self._hearing: deque[str] = deque()
        self._fates: deque[str] = deque()
        self._standing = ""
        self._refusing_until = 0.0
        self._open: set[ServerConnection] = set()
        self._server: Server | None = None
        self._answers = 0
        self._calls = 0
        self._stalled = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None, close_timeout=0.2
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._stalled.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/v1"

    # --- what it is told ---

    def will_say(self, text: str, seconds: float) -> None:
        self._script.append(Say(text, seconds))

    def will_hear(self, text: str) -> None:
        """What it understands of the next speech."""
        self._hearing.append(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, text: str = "Done.") -> None:
        given = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self._script.append(Say(text, 1.0, (tool, given)))

    def reject_credentials(self, *, standing: bool = False) -> None:
        """The next dial, or every one, finds its key refused."""
        self._fate("reject", standing=standing)

    def exhaust_quota(self, *, standing: bool = False) -> None:
        self._fate("quota", standing=standing)

    def limit(self, *, standing: bool = False) -> None:
        self._fate("limit", standing=standing)

    def accept(self) -> None:
        """End what was `standing`."""
        self._standing = ""

    def hang_in_setup(self) -> None:
        self._fates.append("hang")

    def refuse(self, seconds: float) -> None:
        self._refusing_until = time.monotonic() + seconds
        self.drop()

    def drop(self) -> None:
        for connection in tuple(self._open):
            connection.transport.abort()

    async def close(self, code: int) -> None:
        for connection in tuple(self._open):
            await connection.close(code)

    def stall(self) -> None:
        """The path falls silent: nothing is read or sent any more, pongs neither, and nobody hangs up."""
        for connection in tuple(self._open):
            connection.transport.pause_reading()

    async def send(self, text: str) -> None:
        """Any text frame, over every connection."""
        for connection in tuple(self._open):
            await connection.send(text)

    # --- the service ---

    def _fate(self, kind: str, *, standing: bool) -> None:
        if standing:
            self._standing = kind
        else:
            self._fates.append(kind)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if time.monotonic() < self._refusing_until:
            connection.transport.abort()
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
        if request.path != "/v1/live/sessions":
            self.violations.append(f"path {request.path}")
            return connection.respond(http.HTTPStatus.NOT_FOUND, "")
        fate = self._fates.popleft() if self._fates and self._fates[0] != "hang" else self._standing
        if fate == "reject" or request.headers.get("Authorization") != f"Bearer {KEY}":
            return _refusal(connection, http.HTTPStatus.UNAUTHORIZED, "invalid_api_key")
        if fate == "quota":
            return _refusal(connection, http.HTTPStatus.TOO_MANY_REQUESTS, "insufficient_quota")
        if fate == "limit":
            response = _refusal(connection, http.HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded")
            response.headers["Retry-After"] = "7"
            return response
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self._open.add(connection)
        try:
            session = await self._start(connection)
            if session is not None:
                self.sessions.append(session)
                async for message in connection:
                    await self._take(connection, session, _object(message))
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(connection)

    async def _start(self, connection: ServerConnection) -> LiveSession | None:
        if self._fates and self._fates[0] == "hang":
            self._fates.popleft()
            with contextlib.suppress(ConnectionClosed):
                await connection.recv()
            await asyncio.wait({asyncio.ensure_future(self._stalled.wait())}, timeout=30)
            return None
        first = _object(await connection.recv())
        session = first.get("session")
        if first.get("type") != "session.start" or not isinstance(session, dict):
            await self._end(connection, "session_not_started", "session.start comes first")
            return None
        unknown = sorted(set(session) - _SESSION_FIELDS)
        if unknown:
            await self._end(connection, "unknown_parameter", f"session.{unknown[0]}")
            return None
        if session.get("model") != "gpt-live-1":
            await self._end(connection, "model_not_found", "session.model")
            return None
        wanted = session.get("audio", {}).get("format")
        if wanted != {"type": "audio/pcm", "rate": RATE}:
            await self._end(connection, "invalid_value", "session.audio.format")
            return None
        if len(session.get("input", ())) > 128:
            await self._end(connection, "too_many_items", "session.input")
            return None
        resource = {"id": f"live_{len(self.sessions)}", "status": "active", "model": session["model"]}
        lasts = self.will_expire_in.popleft() if self.will_expire_in else self.expires_in
        resource["expires_at"] = int(time.time() + lasts)
        await _tell(connection, {"type": "session.started", "session": resource})
        return LiveSession(config=session)

    async def _end(self, connection: ServerConnection, code: str, param: str) -> None:
        self.violations.append(f"{code} {param}")
        await self._error(connection, code, param)
        await connection.close(1008)

    async def _error(self, connection: ServerConnection, code: str, param: str = "") -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code, "param": param}
        await _tell(connection, {"type": "error", "error": error})

    async def _take(
        self, connection: ServerConnection, session: LiveSession, message: Mapping[str, Any]
    ) -> None:
        match message.get("type"):
            case "session.input_audio.append":
                await self._hear(connection, session, message)
            case "session.commentary.append" | "session.thinking.append" as kind:
                await self._note(connection, session, message, kind)
            case "response.item.create":
                await self._result(connection, session, message)
            case "response.create":
                await self._go_on(connection, session)
            case "session.close":
                closed = {"type": "session.closed", "reason": "close_requested", "usage": {"seconds": 1.0}}
                await _tell(connection, closed)
                await connection.close()
            case kind:
                self.violations.append(f"unknown event {kind}")
                await self._error(connection, "unknown_event", str(kind))

    async def _hear(
        self, connection: ServerConnection, session: LiveSession, message: Mapping[str, Any]
    ) -> None:
        if set(message) - {"type", "audio", "event_id"}:
            self.violations.append(f"fields of append: {sorted(message)}")
        try:
            pcm = base64.b64decode(message["audio"], validate=True)
        except (KeyError, ValueError):
            self.violations.append("audio that is none")
            return await self._error(connection, "invalid_value", "audio")
        session.received += pcm
        length_ms = len(pcm) * 1000 / 2 / RATE
        if np.abs(np.frombuffer(pcm, dtype="<i2").astype(int)).max(initial=0) >= LOUD:
            session.voiced_ms += length_ms
            session.silent_ms = 0.0
            if session.voiced_ms >= 200:
                session.talked_over.set()
            return None
        session.silent_ms += length_ms
        if session.silent_ms < END_MS:
            return None
        heard, session.voiced_ms = session.voiced_ms, 0.0
        if heard >= 100:
            said = self._hearing.popleft() if self._hearing else f"heard {round(heard)} ms"
            await _tell(connection, {"type": "session.input_transcript.delta", "delta": said} | _span())
            self._answer(connection, session, self._script.popleft() if self._script else Say("Yes.", 1.0))
        return None

    async def _note(
        self, connection: ServerConnection, session: LiveSession, message: Mapping[str, Any], kind: str
    ) -> None:
        if "delegation_id" not in message or len(message.get("content", "")) > 2_000:
            self.violations.append(f"{kind} {sorted(message)}")
            return await self._error(connection, "missing_required_parameter", "delegation_id")
        session.notes.append(message)
        await _tell(connection, {"type": f"{kind}ed"})
        if kind == "session.commentary.append":
            self._answer(connection, session, self._script.popleft() if self._script else Say("Yes.", 1.0))
        return None

    async def _result(
        self, connection: ServerConnection, session: LiveSession, message: Mapping[str, Any]
    ) -> None:
        item = message.get("item", {})
        waiting = item.get("call_id") in session.calls
        answered = any(item.get("call_id") == one["call_id"] for one in session.results)
        if item.get("type") != "function_call_output" or not waiting or answered:
            self.violations.append(f"result for {item.get('call_id')}")
            return await self._error(connection, "invalid_value", "item.call_id")
        session.results.append(item)
        return None

    async def _go_on(self, connection: ServerConnection, session: LiveSession) -> None:
        answered = {one["call_id"] for one in session.results}
        if not session.calls or set(session.calls) - answered:
            self.violations.append("response.create while a call has no result")
            return await self._error(connection, "missing_tool_output")
        say = next(reversed(session.calls.values()))
        session.calls.clear()
        self._answer(connection, session, Say(say.text, say.seconds))
        return None

    def _answer(self, connection: ServerConnection, session: LiveSession, say: Say) -> None:
        session.talked_over.clear()
        session.speaking = asyncio.get_running_loop().create_task(self._speak(connection, session, say))

    async def _speak(self, connection: ServerConnection, session: LiveSession, say: Say) -> None:
        with contextlib.suppress(ConnectionClosed):
            if say.call is not None:
                await self._call(connection, session, say, *say.call)
                return
            self._answers += 1
            place = len(session.answers)
            session.answers.append((self._answers, 0.0))
            sound = answer_sound(self._answers, say.seconds)
            chunks = max(1, round(say.seconds * 1000 / CHUNK_MS))
            words = say.text.split()
            told = 0
            size = RATE * CHUNK_MS // 1000
            for chunk in range(chunks):
                if session.talked_over.is_set():
                    return
                if told < len(words) and told * chunks <= chunk * len(words):
                    word = {"type": "session.output_transcript.delta", "delta": words[told] + " "}
                    await _tell(connection, word | _span())
                    told += 1
                pcm = sound[chunk * size : (chunk + 1) * size].tobytes()
                delta = {"type": "session.output_audio.delta", "delta": base64.b64encode(pcm).decode()}
                await _tell(connection, delta)
                session.answers[place] = (self._answers, (chunk + 1) * CHUNK_MS / 1000)
                await asyncio.sleep(CHUNK_MS / 1000 / SPEED)
            await _tell(connection, {"type": "session.usage.updated", "usage": {"seconds": say.seconds}})

    async def _call(
        self, connection: ServerConnection, session: LiveSession, say: Say, tool: str, arguments: str
    ) -> None:
        self._calls += 1
        call_id, delegation = f"call_{self._calls}", f"dlg_{self._calls}"
        session.calls[call_id] = say
        created = {"id": delegation, "target": "responses", "type": "delegation"}
        await _tell(connection, {"type": "session.delegation.created", "delegation": created, "offset_ms": 0})
        item = {"type": "function_call", "call_id": call_id, "name": tool, "arguments": arguments}
        for event in (
            {"type": "response.output_item.done", "item": item},
            {"type": "response.completed", "response": {"status": "completed"}},
        ):
            await _tell(connection, {"type": "response.event", "delegation_id": delegation, "event": event})


def _refusal(connection: ServerConnection, status: http.HTTPStatus, code: str) -> Response:
    return connection.respond(status, json.dumps({"error": {"code": code, "message": code}}))


def _object(message: str | bytes) -> dict[str, Any]:
    decoded = json.loads(message)
    return decoded if isinstance(decoded, dict) else {}


def _span() -> dict[str, int]:
    return {"start_ms": 0, "end_ms": 0}


async def _tell(connection: ServerConnection, event: Mapping[str, Any]) -> None:
    await connection.send(json.dumps({"event_id": "ev", **event}))
