"""A provider for tests: answers as it is told, and writes down every command that makes no sense.

provider.will_say("It is noon.", seconds=2.0)   # the next answer
provider.will_call("time_now", {}, then=Say("It is noon.", 2.0))
provider.never_finish()                         # the next answer begins and breaks off
provider.drop()                                 # the connection is lost
provider.hang_in_connect()                      # the next dial never comes back
provider.refuse_with(QuotaExhausted("empty"))   # the next dial fails with that
provider.break_off(QuotaExhausted("empty"))     # the connection ends with that
provider.break_on_turns()                       # each connection ends that is given a turn
provider.announce_end(10.0)                     # RenewalDue
provider.give_handle("h1")                      # ResumptionHandle
provider.speak("By the way.", seconds=1.0)      # it was not asked
provider.end_turn()                             # it takes the turn that is being said for finished
provider.withdraw_calls()                       # it wants no results any more
assert provider.violations == []
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.errors import ApplianceError, CredentialsRejected, DriverMissing, ProviderUnavailable
from appliance.interfaces import (
    Capabilities,
    ProviderEvent,
    ProviderTrouble,
    RenewalDue,
    ResumptionHandle,
    Setup,
    ToolResult,
    TurnEnded,
)
from tests.fakes.answers import Answer, Call, Nothing, Say, Turn
from tests.fakes.provider_connection import FakeConnection

FAST = Capabilities(input_rate=16_000, output_rate=16_000, truncate=True)
RESTORING = replace(FAST, restores_calls=True, server_turns=True)
FIRST_LEVEL = 500


class FakeProvider:
    """Satisfies interfaces.Provider. Without instructions it answers "Yes." in one second."""

    def __init__(
        self, name: str = "fake", capabilities: Capabilities = FAST, first_level: int = FIRST_LEVEL
    ) -> None:
        self.name = name
        self.first_level = first_level
        self.capabilities = capabilities
        self.violations: list[str] = []
        self.connections: list[FakeConnection] = []
        self.answers: list[Answer] = []
        self.dials = 0
        self.tool_calls: list[str] = []
        self.tool_results: list[ToolResult] = []
        self.understanding_takes = 0.0
        self.reacted: set[int] = set()
        """The turns that it answered without a sound, or by a call that no answer needs to follow."""
        self.plans: dict[str, tuple[int, Say]] = {}
        self._script: deque[Say | Call | Nothing] = deque()
        self._connect_fates: deque[str | ApplianceError] = deque()
        self._down: ApplianceError | None = None
        self.connect_seconds = 0.05
        self.breaks_on_turns = False
        self.breaks_on_history = False
        self._look_seconds = 0.0
        self._load_seconds = 0.0
        self._loaded_at: float | None = 0.0
        self._load_fault: Exception | None = None
        self.dialled_at: list[float] = []
        self.setups: list[Setup] = []
        """Of every dial."""
        self.lives: float | None = None
        """Seconds that each new connection lasts; None: until it is dropped."""

    # --- what it is told ---

    def will_say(self, text: str, seconds: float, **how: Any) -> Say:
        said = Say(text, seconds, **how)
        self._script.append(said)
        return said

    def will_call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | str,
        then: Say | None = None,
        think: float = 0.2,
        *,
        unasked: bool = False,
    ) -> None:
        self._script.append(Call(tool, arguments, then or Say("Done.", 1.0), think, unasked))

    def will_not_answer(self) -> None:
        self._script.append(Nothing())

    def will_be_silent(self, status: str = "silent") -> None:
        self._script.append(Nothing(status))

    def never_finish(self, seconds: float = 1.0) -> None:
        self._script.append(Say("And then", seconds, finish=False))

    def hang_in_connect(self, times: int = 1) -> None:
        self._connect_fates.extend(["hang"] * times)

    def refuse(self, times: int = 1) -> None:
        self._connect_fates.extend(["refuse"] * times)

    def refuse_with(self, *faults: ApplianceError) -> None:
        """The next dials fail so."""
        self._connect_fates.extend(faults)

    def break_off(self, fault: ApplianceError) -> None:
        """The connection ends, and says why."""
        self.connection.cut(fault)

    def break_on_turns(self, breaks: bool = True) -> None:
        """Each connection ends when it is to answer a turn."""
        self.breaks_on_turns = breaks

    def break_on_history(self) -> None:
        """Each connection that begins with a history ends at once."""
        self.breaks_on_history = True

    def announce_end(self, seconds: float) -> None:
        """The connection is to end; what ends it is up to the test."""
        self.connection.tell(RenewalDue(seconds))

    def give_handle(self, handle: str) -> None:
        self.connection.tell(ResumptionHandle(handle))

    def forget_fates(self) -> None:
        """The next dials work, unless it is down."""
        self._connect_fates.clear()

    def reject_credentials(self) -> None:
        self._connect_fates.append("reject")

    def lack_library(self) -> None:
        self._connect_fates.append("lack")

    def load_for(self, seconds: float) -> None:
        """Its library is not loaded, and takes so long from the first time that it is wanted."""
        self._load_seconds, self._loaded_at = seconds, None

    def look_for(self, seconds: float) -> None:
        """A device so busy that it takes so long, each time, to see that the library is loaded."""
        self._look_seconds = seconds

    def fail_to_load(self, fault: Exception) -> None:
        self._load_fault = fault

    def break_in_connect(self) -> None:
        """A bug of the provider's."""
        self._connect_fates.append("break")

    def drop(self) -> None:
        """The connection is lost; the next dial works."""
        for connection in self.connections:
            connection.cut()

    def go_down(self, fault: ApplianceError | None = None) -> None:
        """The connection is lost, and dials are refused until `come_up`."""
        self._down = fault or ProviderUnavailable(f"{self.name} is not there")
        self.drop()

    def come_up(self) -> None:
        self._down = None

    def tell(self, event: ProviderEvent) -> None:
        """Say something that nobody asked for, as usage."""
        self.connection.tell(event)

    def speak(self, text: str, seconds: float, **how: Any) -> None:
        """Say something that nobody asked for."""
        if self._alive:
            self.connection.begin_saying(0, Say(text, seconds, **how))

    def end_turn(self, turn: int | None = None) -> None:
        """Take `turn`, or the one that is being said, for finished."""
        if self._alive:
            open_turns = [name for name, one in self.turns.items() if not (one.committed or one.discarded)]
            for name in open_turns if turn is None else [turn]:
                self.connection.tell(TurnEnded(name))

    def withdraw_calls(self) -> None:
        if self._alive:
            self.connection.withdraw_calls()

    def understand_late(self, seconds: float) -> None:
        """What was said is understood so long after it was said."""
        self.understanding_takes = seconds

    def have_trouble(self, code: str) -> None:
        if self._alive:
            self.connection.tell(ProviderTrouble(code, "Something was wrong."))

    @property
    def loaded(self) -> bool:
        """Somebody has wanted its library, `load_for` so long ago."""
        return self._loaded_at is not None and self._loaded_at <= asyncio.get_running_loop().time()

    @property
    def _alive(self) -> bool:
        return bool(self.connections) and not self.connection.closed

    # --- what it shows ---

    @property
    def unanswered_calls(self) -> int:
        """Tool calls of the newest connection that were made and have no result yet."""
        return self.connection.unanswered_calls

    @property
    def connection(self) -> "FakeConnection":
        """The newest."""
        return self.connections[-1]

    @property
    def turns(self) -> dict[int, Turn]:
        """As the newest connection has them."""
        return self.connection.turns

    # --- interfaces.Provider ---

    async def warm(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._loaded_at is None:
            self._loaded_at = now + self._load_seconds
        await asyncio.sleep(self._loaded_at - now)
        await asyncio.sleep(self._look_seconds)
        if self._load_fault is not None:
            raise self._load_fault

    async def connect(self, setup: Setup) -> "FakeConnection":
        await self.warm()
        self.dials += 1
        self.dialled_at.append(asyncio.get_running_loop().time())
        self.setups.append(setup)
        fate = self._connect_fates.popleft() if self._connect_fates else ""
        if fate == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(self.connect_seconds)
        if isinstance(fate, ApplianceError):
            raise fate
        if fate == "reject":
            raise CredentialsRejected(f"{self.name} does not know this key")
        if fate == "lack":
            raise DriverMissing(f"{self.name} needs a library")
        if fate == "break":
            raise KeyError(fate)
        if fate == "refuse":
            raise ProviderUnavailable(f"{self.name} is not there")
        if self._down is not None:
            raise self._down
        connection = FakeConnection(self, setup)
        self.connections.append(connection)
        if self.breaks_on_history and setup.history:
            asyncio.get_running_loop().call_later(0.1, connection.cut)
        if self.lives is not None:
            asyncio.get_running_loop().call_later(self.lives, connection.cut)
        return connection

    async def close(self) -> None:
        self.drop()

    def next_answer(self) -> Say | Call | Nothing:
        return self._script.popleft() if self._script else Say("Yes.", 1.0)
