"""What a tool may do to the session that called it."""

import time
from collections.abc import Callable
from typing import Protocol

from appliance.errors import ApplianceError, NotPossible
from appliance.interfaces import LineKind


class PhoneActions(Protocol):
    """The telephone, as the daemon lends it. Each raises an ApplianceError when it is not possible."""

    async def dial(self, line_id: str, to: str) -> str:
        """Call a number, extension, URI or named contact for whom is on that line; return the call id."""
        ...

    async def transfer(self, line_id: str, to: str, summary: str) -> None:
        """Transfer the call of a phone line; return when it has gone over."""
        ...

    def record_for_agent(self, line_id: str, on: bool) -> None:
        """Begin to record the call of a phone line, once that is announced, or end it."""
        ...

    def hang_up(self, line_id: str) -> None:
        """End the call of a phone line."""
        ...


class ContextLine(Protocol):
    @property
    def volume(self) -> int: ...

    def set_volume(self, level: int) -> int: ...

    def set_muted(self, on: bool) -> None: ...


class ContextSession(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def open(self) -> bool: ...

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None: ...

    def when_quiet(self, action: Callable[[], None]) -> None: ...

    async def heard_out(self) -> None: ...

    def end(self, reason: str) -> None: ...


class SessionContext:
    """Satisfies interfaces.ToolContext. `tell_elsewhere` speaks to the person when this session is over."""

    def __init__(
        self,
        session: ContextSession,
        line_id: str,
        kind: LineKind,
        line: Callable[[], ContextLine],
        tell_elsewhere: Callable[[str, str, bool], None],
        phone: PhoneActions | None,
    ) -> None:
        self.session = session.id
        self.line = line_id
        self.line_kind = kind
        self._session = session
        self._line = line
        self._tell_elsewhere = tell_elsewhere
        self._phone = phone

    def now(self) -> float:
        return time.time()

    def volume(self) -> int:
        return self._line().volume

    def set_volume(self, level: int) -> int:
        return self._line().set_volume(level)

    def set_muted(self, on: bool) -> None:
        self._line().set_muted(on)

    async def dial(self, to: str) -> str:
        if self._phone is None:
            raise NotPossible("There is no telephone.", hint="set sip.enabled")
        await self._session.heard_out()
        return await self._phone.dial(self.line, to)

    async def transfer(self, to: str, *, summary: str = "") -> None:
        phone = self._phone
        if phone is None or self.line_kind is not LineKind.PHONE:
            raise NotPossible("Only a telephone call can be transferred.")
        await self._session.heard_out()
        await phone.transfer(self.line, to, summary)

    async def record(self, on: bool) -> None:
        if self._phone is None or self.line_kind is not LineKind.PHONE:
            raise NotPossible("Only a telephone call can be recorded.")
        self._phone.record_for_agent(self.line, on)

    async def hang_up(self) -> None:
        phone = self._phone if self.line_kind is LineKind.PHONE else None

        def hang_up() -> None:
            if phone is None:
                self._session.end("hang_up")
                return
            try:
                phone.hang_up(self.line)
            except ApplianceError:
                # The call is over already, or its telephone is: the session must not outlive it.
                self._session.end("hang_up")

        self._session.when_quiet(hang_up)

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        if self._session.open:
            self._session.notify(text, label=label, urgent=urgent)
        else:
            self._tell_elsewhere(text, label, urgent)
