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
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.socket_service import SocketLink, SocketService

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


class GptLiveServer(SocketService["LiveSession"]):
    """`base_url` is what `[providers.gpt_live]` takes."""

    key = KEY
    path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.expires_in = 3_600.0
        self.will_expire_in: deque[float] = deque()
        """The same for the next sessions, one each."""
        self.answering: Callable[[str], Say] = lambda _: Say("Yes.", 1.0)
        """The answer to what was said or typed, where `will_say` and `will_call` laid down none."""
        self.hears = ""
        """How speech is understood, where `will_hear` said nothing; empty: as its length."""
        self.answers = 0
        self.calls = 0
        self._script: deque[Say] = deque()
        self._hearing: deque[str] = deque()

    # --- what it is told ---

    def will_say(self, text: str, seconds: float) -> None:
        self._script.append(Say(text, seconds))

    def will_hear(self, text: str) -> None:
        """What it understands of the next speech."""
        self._hearing.append(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, text: str = "Done.") -> None:
        given = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self._script.append(Say(text, 1.0, (tool, given)))

    # --- for its sessions ---

    def next_answer(self, said: str) -> Say:
        return self._script.popleft() if self._script else self.answering(said)

    def understand(self, milliseconds: float) -> str:
        return self._hearing.popleft() if self._hearing else self.hears or f"heard {round(milliseconds)} ms"

    def lasts(self) -> float:
        """Seconds from the set-up to the end that is announced."""
        return self.will_expire_in.popleft() if self.will_expire_in else self.expires_in

    # --- the service ---

    def refuse_request(self, request: Request) -> Response | None:
        if request.path != "/v1/live/sessions":
            self.violate(f"path {request.path}")
            return self.refusal(404, "not_found")
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return self.refusal(401, "invalid_api_key")
        return None

    def link(self, socket: ServerConnection) -> "LiveSession":
        return LiveSession(self, socket)


class LiveSession(SocketLink):
    """What one connection sent, and where it stands."""

    def __init__(self, server: GptLiveServer, socket: ServerConnection) -> None:
        super().__init__(server, socket)
        self.server = server
        self.config: Mapping[str, Any] = {}
        self.received = bytearray()
        self.notes: list[Mapping[str, Any]] = []
        self.results: list[Mapping[str, Any]] = []
        self.answers: list[tuple[int, float]] = []
        """Numbers of the answers, and the seconds that were sent of each."""
        self._calls: dict[str, Say] = {}
        self._voiced_ms = 0.0
        self._silent_ms = 0.0
        self._talked_over = asyncio.Event()

    def samples(self) -> "np.ndarray[Any, np.dtype[np.int16]]":
        return np.frombuffer(bytes(self.received), dtype="<i2")

    async def run(self) -> None:
        if await self._start():
            async for message in self.socket:
                await self._take(_object(message))

    async def _start(self) -> bool:
        first = _object(await self.socket.recv())
        if self.server.next_fate("hang_in_setup"):
            await self.socket.wait_closed()
            return False
        session = first.get("session")
        if first.get("type") != "session.start" or not isinstance(session, dict):
            return await self._end("session_not_started", "session.start comes first")
        unknown = sorted(set(session) - _SESSION_FIELDS)
        if unknown:
            return await self._end("unknown_parameter", f"session.{unknown[0]}")
        if session.get("model") != "gpt-live-1":
            return await self._end("model_not_found", "session.model")
        wanted = session.get("audio", {}).get("format")
        if wanted != {"type": "audio/pcm", "rate": RATE}:
            return await self._end("invalid_value", "session.audio.format")
        if len(session.get("input", ())) > 128:
            return await self._end("too_many_items", "session.input")
        self.config = session
        resource = {"id": f"live_{len(self.server.sessions)}", "status": "active", "model": session["model"]}
        resource["expires_at"] = int(time.time() + self.server.lasts())
        await self._tell({"type": "session.started", "session": resource})
        return True

    async def _tell(self, event: Mapping[str, Any]) -> None:
        await self.say(**{"event_id": "ev", **event})

    async def _end(self, code: str, param: str) -> bool:
        self.violate(f"{code} {param}")
        await self._error(code, param)
        await self.socket.close(1008)
        return False

    async def _error(self, code: str, param: str = "") -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code, "param": param}
        await self._tell({"type": "error", "error": error})

    async def _take(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "session.input_audio.append":
                await self._hear(message)
            case "session.commentary.append" | "session.thinking.append" as kind:
                await self._note(message, kind)
            case "response.item.create":
                await self._result(message)
            case "response.create":
                await self._go_on()
            case "session.close":
                closed = {"type": "session.closed", "reason": "close_requested", "usage": {"seconds": 1.0}}
                await self._tell(closed)
                await self.socket.close()
            case kind:
                self.violate(f"unknown event {kind}")
                await self._error("unknown_event", str(kind))

    async def _hear(self, message: Mapping[str, Any]) -> None:
        if set(message) - {"type", "audio", "event_id"}:
            self.violate(f"fields of append: {sorted(message)}")
        try:
            pcm = base64.b64decode(message["audio"], validate=True)
        except (KeyError, ValueError):
            self.violate("audio that is none")
            return await self._error("invalid_value", "audio")
        self.received += pcm
        length_ms = len(pcm) * 1000 / 2 / RATE
        if np.abs(np.frombuffer(pcm, dtype="<i2").astype(int)).max(initial=0) >= LOUD:
            self._voiced_ms += length_ms
            self._silent_ms = 0.0
            if self._voiced_ms >= 200:
                self._talked_over.set()
            return None
        self._silent_ms += length_ms
        if self._silent_ms < END_MS:
            return None
        heard, self._voiced_ms = self._voiced_ms, 0.0
        if heard >= 100:
            said = self.server.understand(heard)
            await self._tell({"type": "session.input_transcript.delta", "delta": said} | _span())
            self._answer(self.server.next_answer(said))
        return None

    async def _note(self, message: Mapping[str, Any], kind: str) -> None:
        if "delegation_id" not in message or len(message.get("content", "")) > 2_000:
            self.violate(f"{kind} {sorted(message)}")
            return await self._error("missing_required_parameter", "delegation_id")
        self.notes.append(message)
        await self._tell({"type": f"{kind}ed"})
        if kind == "session.commentary.append":
            self._answer(self.server.next_answer(str(message["content"])))
        return None

    async def _result(self, message: Mapping[str, Any]) -> None:
        item = message.get("item", {})
        waiting = item.get("call_id") in self._calls
        answered = any(item.get("call_id") == one["call_id"] for one in self.results)
        if item.get("type") != "function_call_output" or not waiting or answered:
            self.violate(f"result for {item.get('call_id')}")
            return await self._error("invalid_value", "item.call_id")
        self.results.append(item)
        return None

    async def _go_on(self) -> None:
        answered = {one["call_id"] for one in self.results}
        if not self._calls or set(self._calls) - answered:
            self.violate("response.create while a call has no result")
            return await self._error("missing_tool_output")
        say = next(reversed(self._calls.values()))
        self._calls.clear()
        self._answer(Say(say.text, say.seconds))
        return None

    def _answer(self, say: Say) -> None:
        # It has one voice: what it was saying ends where something else is to be said.
        self._talked_over.set()
        self._talked_over = asyncio.Event()
        self.begin(self._speak(say, self._talked_over))

    async def _speak(self, say: Say, talked_over: asyncio.Event) -> None:
        if say.call is not None:
            await self._call(say, *say.call)
            return
        self.server.answers += 1
        number = self.server.answers
        place = len(self.answers)
        self.answers.append((number, 0.0))
        sound = answer_sound(number, say.seconds)
        chunks = max(1, round(say.seconds * 1000 / CHUNK_MS))
        words = say.text.split()
        told = 0
        size = RATE * CHUNK_MS // 1000
        for chunk in range(chunks):
            if talked_over.is_set():
                return
            if told < len(words) and told * chunks <= chunk * len(words):
                word = {"type": "session.output_transcript.delta", "delta": words[told] + " "}
                await self._tell(word | _span())
                told += 1
            pcm = sound[chunk * size : (chunk + 1) * size].tobytes()
            delta = {"type": "session.output_audio.delta", "delta": base64.b64encode(pcm).decode()}
            await self._tell(delta)
            self.answers[place] = (number, (chunk + 1) * CHUNK_MS / 1000)
            await asyncio.sleep(CHUNK_MS / 1000 / SPEED)
        await self._tell({"type": "session.usage.updated", "usage": {"seconds": say.seconds}})

    async def _call(self, say: Say, tool: str, arguments: str) -> None:
        self.server.calls += 1
        call_id, delegation = f"call_{self.server.calls}", f"dlg_{self.server.calls}"
        self._calls[call_id] = say
        created = {"id": delegation, "target": "responses", "type": "delegation"}
        await self._tell({"type": "session.delegation.created", "delegation": created, "offset_ms": 0})
        item = {"type": "function_call", "call_id": call_id, "name": tool, "arguments": arguments}
        for event in (
            {"type": "response.output_item.done", "item": item},
            {"type": "response.completed", "response": {"status": "completed"}},
        ):
            await self._tell({"type": "response.event", "delegation_id": delegation, "event": event})


def _object(message: str | bytes) -> dict[str, Any]:
    decoded = json.loads(message)
    return decoded if isinstance(decoded, dict) else {}


def _span() -> dict[str, int]:
    return {"start_ms": 0, "end_ms": 0}
