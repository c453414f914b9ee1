"""A Gemini Live service over TLS on 127.0.0.1: strict, with its own voice detection, and a log of every sample.

Tests drive it by use-cases (`will_say`, `drop`, `go_away`, ...) and look at `sessions` and `violations`.
"""

import itertools
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.gemini_answers import Answer, Call, CallTool, Memory, Say, SayNothing
from tests.fakes.gemini_session import LiveSession
from tests.fakes.socket_service import SocketService, http_answer

PATH = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
KEY = "test-key"
HELP = "I can tell the time, set a timer, call somebody for you, or answer a question about nearly anything."
BAD_KEY = "API key not valid. Please pass a valid API key."
SPENT = "You exceeded your current quota, please check your plan and billing details."
_FAULTS = {
    "key": {
        "code": 400,
        "message": BAD_KEY,
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
    },
    "quota": {"code": 429, "message": SPENT, "status": "RESOURCE_EXHAUSTED"},
    "rate": {
        "code": 429,
        "message": "Too many concurrent sessions. Please retry in 7.5s.",
        "status": "RESOURCE_EXHAUSTED",
    },
}


class GeminiServer(SocketService[LiveSession]):
    """`speed` times real time are answers sent; `think` seconds pass before each.

    Each piece of sound but the first is late by a chance of up to `jitter_ms`; none overtakes another.
    """

    key = KEY
    max_size = None
    refusals: ClassVar[Mapping[str, tuple[int, str]]] = {
        "key": (400, "key"),
        "quota": (429, "quota"),
        "rate": (429, "rate"),
    }

    def __init__(self, *, think: float = 0.05, speed: float = 10.0, tls: bool = True) -> None:
        super().__init__(tls=tls)
        self.think = think
        self.speed = speed
        self.jitter_ms = 0.0
        self.hears = "what time is it"
        """What is understood of speech that no will_hear speaks for."""
        self.says_interrupted_early = True
        """`interrupted` also comes where an answer had not begun to sound."""
        self.answers = 0
        self.sounded_at: list[float] = []
        """The monotonic second at which the first sound of each answer was sent."""
        self.script: deque[Answer] = deque()
        self.transcripts: deque[str] = deque()
        self.handles: dict[str, Memory] = {}
        self.numbers = itertools.count(1)
        self._go_away: float | None = None
        self._refusal: tuple[int, str, Mapping[str, str]] | None = None
        self._close_in_setup: tuple[int, str] | None = None
        self._greeting: tuple[bytes | str, ...] = ()

    # --- use-cases ---

    def will_say(self, text: str, seconds: float = 1.0) -> None:
        self.script.append(Say(text, seconds))

    def will_call(self, tool: str, arguments: Any = None) -> None:
        self.script.append(CallTool(tool, {} if arguments is None else arguments))

    def will_say_nothing(self, reason: str = "") -> None:
        self.script.append(SayNothing(reason))

    def will_hear(self, text: str) -> None:
        """The transcript of the next speech."""
        self.transcripts.append(text)

    def go_away(self, seconds: float, time_left: Any = None) -> None:
        """Tell all sessions, and end them then; without a session, the next one as soon as it is set up."""
        ready = [session for session in self.live if session.ready]
        if not ready:
            self.will_go_away(seconds)
        for session in ready:
            session.go_away(seconds, time_left)

    def will_go_away(self, seconds: float) -> None:
        """Tell the next session as soon as it is set up, and end it then."""
        self._go_away = seconds

    def answer_http(self, status: int, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._refusal = status, body, headers or {}

    def close_in_setup(self, code: int, reason: str = "") -> None:
        self._close_in_setup = code, reason

    def greet_with(self, *messages: bytes | str) -> None:
        """Each further session is sent these before it is set up."""
        self._greeting = messages

    def forgive(self) -> None:
        """Take everybody again."""
        self.accept()
        self._refusal = self._close_in_setup = None
        self._greeting = ()

    # --- serving ---

    def fault_body(self, code: str) -> Mapping[str, Any]:
        return {"error": _FAULTS[code]}

    def refusal(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
        """When to come again, the service says in words."""
        return super().refusal(status, code)

    def refuse_request(self, request: Request) -> Response | None:
        if self._refusal is not None:
            return http_answer(*self._refusal)
        if request.path.partition("?")[0] != PATH:
            self.violate(f"path {request.path}")
            return http_answer(404, "")
        if request.headers.get("x-goog-api-key") != KEY:
            return http_answer(403, '{"error":{"status":"PERMISSION_DENIED"}}')
        return None

    def link(self, socket: ServerConnection) -> LiveSession:
        return LiveSession(self, socket)

    async def greet(self, session: LiveSession) -> bool:
        """Whether the set-up is answered."""
        if self._close_in_setup is not None:
            await session.socket.close(*self._close_in_setup)
            return False
        for message in self._greeting:
            await session.socket.send(message)
        if self.next_fate("hang_in_setup"):
            await session.socket.wait_closed()
            return False
        return True

    def greeted(self, session: LiveSession) -> None:
        if self._go_away is not None:
            seconds, self._go_away = self._go_away, None
            session.go_away(seconds)

    def next_answer(self, heard: str, session: LiveSession) -> Answer:
        if self.script:
            return self.script.popleft()
        if not heard:
            return SayNothing()
        if "time" in heard and "get_time" in session.tools:
            return CallTool("get_time", {})
        return Say(HELP, 4.0)

    def follow_up(self, call: Call) -> Answer:
        if self.script:
            return self.script.popleft()
        output = call.response.get("output", call.response.get("error", ""))
        said = output.get("time", "done") if isinstance(output, dict) else output
        return Say(f"It is {said}.", 0.8)
