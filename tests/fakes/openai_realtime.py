"""OpenAI Realtime for tests: a server over a real socket that refuses what the service refuses, and writes it down.

    async with FakeOpenAi() as cloud:
        provider = OpenAiRealtime({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.will_say("It is noon.", seconds=2.0)      # the next answer
        cloud.will_call("get_time", {})                 # the next answer is a tool call; its result is read out
        cloud.will_hear("what time is it")              # what the next spoken turn is written down as
        cloud.drop()                                    # every link is reset; also close(1011), stall()
        cloud.refuse(3.0)                               # nothing listens; also hang_in_setup(), rate_limit()...
        cloud.sessions[-1].items[-1].samples            # what it received of a spoken turn
        assert cloud.violations == []

Each answer's sound is noise of its own, `Answer.pcm`. Real time is needed only where a test talks at that pace.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.openai_answers import Answer, Call, Nothing, Plan, Say
from tests.fakes.openai_schema import RATE
from tests.fakes.openai_session import APPEND_BOUND, Session
from tests.fakes.socket_service import SocketService


class FakeOpenAi(SocketService[Session]):
    """Without instructions it answers "Yes." in one second."""

    key = "sk-test"
    path = "/v1"
    max_size = APPEND_BOUND * 2

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.answers: list[Answer] = []
        self.hears = "hello"
        """How speech is written down, where `will_hear` said nothing."""
        self.answering: Callable[[str], Plan] = lambda _: Say("Yes.")
        """The answer to what was said or typed, where `will_say` and the others said nothing."""
        self.expires_in: float | None = 3_600.0
        self.will_expire_in: deque[float] = deque()
        """The same for the next sessions, one each."""
        self.transcribes_after = 0.01
        self.repeats_metadata = True
        self.form: Mapping[str, Any] = {"type": "audio/pcm", "rate": RATE}
        """The output format that it claims to have."""
        self._script: deque[Plan] = deque()
        self._heard: deque[str] = deque()

    # --- what it is told ---

    def will_say(self, text: str, seconds: float = 1.0, **how: Any) -> Say:
        said = Say(text, seconds, **how)
        self._script.append(said)
        return said

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, text: str = "") -> None:
        self._script.append(Call([(tool, arguments)], text))

    def will_call_all(self, *calls: tuple[str, Mapping[str, Any] | str]) -> None:
        """Several calls in one response."""
        self._script.append(Call(calls))

    def will_be_silent(self) -> None:
        self._script.append(Nothing())

    def will_fail(self, code: str = "server_error") -> None:
        self._script.append(Nothing("failed", code))

    def never_finish(self, text: str = "And then", seconds: float = 1.0) -> None:
        self._script.append(Say(text, seconds, finish=False))

    def will_hear(self, text: str) -> None:
        """The next spoken turn is written down as `text`."""
        self._heard.append(text)

    def drop_in_setup(self, times: int = 1) -> None:
        self._fates.extend(["drop_in_setup"] * times)

    async def say_error(self, code: str, kind: str = "invalid_request_error", **fields: Any) -> None:
        """Every session gets an `error`."""
        for session in self.live:
            await session.send("error", error={"type": kind, "code": code, "message": "", **fields})

    async def expire(self) -> None:
        """The sixty minutes are over."""
        await self.say_error("session_expired")
        await self.close(1001)

    # --- for its sessions ---

    @property
    def scripted(self) -> bool:
        """The next answer was laid down."""
        return bool(self._script)

    def plan_for(self, said: str) -> Plan:
        return self._script.popleft() if self._script else self.answering(said)

    def understand(self) -> str:
        return self._heard.popleft() if self._heard else self.hears

    # --- the service ---

    def refuse_request(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return self.refusal(401, "invalid_api_key")
        if "OpenAI-Beta" in request.headers:
            self.violate("the beta header")
            return self.refusal(400, "beta_api_shape_disabled")
        parts = urlsplit(request.path)
        if parts.path != "/v1/realtime":
            self.violate(f"path {parts.path}")
            return self.refusal(404, "not_found")
        return None

    def link(self, socket: ServerConnection) -> Session:
        assert socket.request is not None
        model = parse_qs(urlsplit(socket.request.path).query).get("model", [""])[0]
        return Session(self, socket, f"sess_{len(self.sessions) + 1}", model)
