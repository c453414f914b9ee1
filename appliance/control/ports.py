"""What the control server needs of the other parts. They are handed in by the daemon and know nothing of control."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from appliance.interfaces import LineKind


class PlayoutPort(Protocol):
    """appliance/audio/playout.py, as far as a client line needs it."""

    lag: Callable[[], float]

    def pull(self, samples: int) -> bytes: ...

    def active(self) -> bool: ...


class CapturePort(Protocol):
    """appliance/audio/capture.py, as far as a client line needs it."""

    def feed(self, pcm: bytes, at: float) -> None: ...


class SessionPort(Protocol):
    """appliance/session/session.py: one conversation."""

    @property
    def id(self) -> str: ...

    def send_text(self, text: str) -> int: ...

    def say(self, text: str, *, interruptible: bool = True, priority: str = "normal") -> str: ...

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None: ...

    def interrupt(self, reason: str) -> None: ...

    async def close(self, reason: str) -> None: ...


class LinePort(Protocol):
    """appliance/session/lines.py: a place where a person talks."""

    @property
    def id(self) -> str: ...

    @property
    def playout(self) -> PlayoutPort: ...

    @property
    def capture(self) -> CapturePort: ...

    @property
    def session(self) -> SessionPort | None: ...

    def set_muted(self, on: bool) -> None: ...

    def set_volume(self, level: int) -> int: ...

    def press(self) -> None: ...

    def release(self) -> None: ...


L = TypeVar("L", bound=LinePort)


class LinesPort(Protocol[L]):
    """The registry of lines and sessions."""

    def open_line(
        self, kind: LineKind, *, capture_rate: int, playout_rate: int, line_id: str | None = None
    ) -> L: ...

    async def close_line(self, line_id: str, reason: str) -> None: ...

    def open_session(
        self, line: L, *, agent: str = "", user: str = "", greeting: bool = True
    ) -> SessionPort: ...

    def require_agent(self, name: str) -> None:
        """Raise UnknownName where there is no agent of that name."""
        ...

    def line(self, line_id: str) -> L: ...

    def session(self, session_id: str) -> SessionPort: ...

    def status(self) -> Mapping[str, Any]: ...

    def watch_levels(self) -> Callable[[], None]:
        """Publish AudioLevel at 10 Hz until the returned function is called."""
        ...


class CallsPort(Protocol):
    """appliance/call/controller.py: the SIP calls. Commands raise UnknownName, NotPossible or TelephoneUnavailable."""

    @property
    def registration(self) -> Mapping[str, Any]: ...

    def registrations(self) -> list[dict[str, Any]]: ...

    @property
    def address(self) -> str:
        """Where it listens, host:port; empty until it does."""
        ...

    @property
    def fault(self) -> str:
        """Why it does not run; empty while it does."""
        ...

    def dial(self, to: str, *, agent: str = "", account: str = "", line: str = "") -> str: ...

    def answer(self, call: str | None = None, line: str = "") -> str: ...

    def reject(self, call: str | None = None, code: int = 603) -> str: ...

    def hang_up(self, call: str | None = None) -> str: ...

    def hold(self, call: str | None = None) -> str: ...

    def resume(self, call: str | None = None) -> str: ...

    def transfer(self, call: str | None, to: str, mode: str = "blind", summary: str = "") -> str: ...

    def send_dtmf(self, call: str | None, digits: str) -> str: ...

    def record(self, call: str | None, on: bool, paused: bool | None = None) -> str: ...

    @property
    def do_not_disturb(self) -> bool: ...

    def set_do_not_disturb(self, on: bool) -> None: ...

    def status(self) -> list[dict[str, Any]]: ...


class StorePort(Protocol):
    """appliance/store: reading the history. Called on a worker thread."""

    def list_sessions(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]: ...

    def get_session(self, session: str) -> dict[str, Any]: ...

    def list_calls(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Actions:
    """What only the daemon can do. None answers `not_supported`."""

    reload: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    diagnose: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    panel: Callable[[], Mapping[str, Any]] | None = None
    """The front panel's state, as `status` shows it."""
    facts: Callable[[], Mapping[str, Any]] = dict
    """Further keys of `status`, of parts that the control API knows nothing of."""
