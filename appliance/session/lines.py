"""The lines there are, and the sessions on them. Sessions side by side share nothing but the providers' settings."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.agents.agent import Agent, choose
from appliance.audio.capture import CapturePath
from appliance.audio.double_talk import DoubleTalk
from appliance.audio.playout import Playout
from appliance.audio.ring import Ring
from appliance.audio.wake import WakeGate
from appliance.config.schema import Room
from appliance.errors import ApplianceError, LineBusy, NotPossible, UnknownName
from appliance.events import Warned
from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import EchoCanceller, LineKind, VoiceDetector
from appliance.session.context import PhoneActions, SessionContext
from appliance.session.line import Line
from appliance.session.place import Surroundings
from appliance.session.session import Session

LEVEL_SECONDS: Final = 0.1
UNTOLD_BOUND: Final = 16
_GAUGES: Final = frozenset(
    {"journal_ms", "uplink_queued", "announcements_waiting", "queued_ms", "backlog_ms", "cover_ms"}
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ears:
    """Factories for what a line listens with: each line has its own. A canceller is asked for the room only."""

    detector: Callable[[], VoiceDetector]
    confirm: Callable[[], VoiceDetector | None] = field(default=lambda: None)
    canceller: Callable[[], EchoCanceller | None] = field(default=lambda: None)
    wake: Callable[[], WakeGate | None] = field(default=lambda: None)


class Lines:
    """All methods belong to the loop's thread.

    `on_closed(line, session, reason)` is called when a session is over and its line is not being closed: the daemon
    hangs up the phone call, or closes the client's line.
    """

    def __init__(
        self,
        around: Surroundings,
        agents: Mapping[str, Agent],
        ears: Ears,
        *,
        room: Room | None = None,
        phone: PhoneActions | None = None,
        on_closed: Callable[[Line, Session, str], None] | None = None,
    ) -> None:
        self.phone = phone
        """May be set later: the telephone is built beside the lines."""
        self.on_closed = on_closed
        self._around = around
        self._agents = agents
        self._ears = ears
        self._room = room or Room()
        self._lines: dict[str, Line] = {}
        self._sessions: dict[str, Session] = {}
        self._numbers = Counter[str]()
        self._past = Counter[str]()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._untold: deque[tuple[str, str, bool]] = deque(maxlen=UNTOLD_BOUND)
        self._levels = 0
        self._level_timer: asyncio.TimerHandle | None = None

    # --- lines ---

    def open_line(
        self, kind: LineKind, *, capture_rate: int, playout_rate: int, line_id: str | None = None
    ) -> Line:
        """A new line, listening; join `capture.feed` and `playout.pull` to a driver. Raise LineBusy for a used id."""
        line_id = line_id or self._name(kind)
        if line_id in self._lines:
            raise LineBusy(f"there is a line {line_id} already")
        playout = Playout(playout_rate, clock=asyncio.get_running_loop().time)
        canceller = self._canceller() if kind is LineKind.ROOM else None
        if canceller is not None:
            playout.reference = Ring(playout_rate * BYTES_PER_SAMPLE)
        vad, ears = self._around.vad, self._ears
        path = CapturePath(
            capture_rate,
            vad,
            ears.detector(),
            ears.confirm(),
            canceller,
            far_rate=playout_rate,
            double_talk=DoubleTalk(vad, ears.detector(), ears.confirm()) if canceller is not None else None,
        )
        line = Line(
            line_id,
            kind,
            path,
            playout,
            self._around.bus,
            lambda opening: self.open_session(opening, greeting=False),
            reference=playout.reference,
            half_duplex=kind is LineKind.ROOM and self._room.duplex != "full" and canceller is None,
            by_voice=kind is not LineKind.ROOM or self._room.mode != "push-to-talk",
        )
        if kind is LineKind.ROOM and self._room.mode == "wake-word":
            self._set_wake(line)
        self._lines[line_id] = line
        line.start()
        return line

    async def close_line(self, line_id: str, reason: str) -> None:
        """Close its session and release it; at most 4 s. A line that is gone already is let be.

        It is done to the end also where the caller is cancelled: a client that hangs up leaves nothing behind.
        """
        line = self._lines.get(line_id)
        if line is None:
            return
        if line_id not in self._leaving:
            closing = self._close(line, reason)
            self._leaving[line_id] = asyncio.get_running_loop().create_task(closing, name=f"close {line_id}")
        await asyncio.shield(self._leaving[line_id])

    def line(self, line_id: str) -> Line:
        """Raise UnknownName."""
        if line_id not in self._lines:
            raise UnknownName(
                f"there is no line {line_id!r}", hint=f"lines: {', '.join(self._lines) or 'none'}"
            )
        return self._lines[line_id]

    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines.values())

    def deaf_for(self) -> float:
        """Seconds since the slowest line's capture thread gave a sign of life."""
        return max((line.capture.silent_for for line in self._lines.values()), default=0.0)

    # --- sessions ---

    def open_session(
        self, line: Line, *, agent: str = "", user: str = "", greeting: bool = True, about: str = ""
    ) -> Session:
        """A session on `line`, dialling already; the agent is told `about` its person.

        Raise LineBusy above max_sessions, UnknownName for the agent.
        """
        if not self.free():
            most = self._around.conversation.max_sessions
            raise LineBusy(f"{most} sessions are open already", hint="conversation.max_sessions")
        return self._open(line, agent, user, greeting=greeting, about=about)

    def free(self) -> bool:
        """Whether one more session may be opened."""
        most = self._around.conversation.max_sessions
        return sum(session.open for session in self._sessions.values()) < most

    def require_agent(self, name: str) -> None:
        """Raise UnknownName where there is no agent of that name; the empty one stands for the configured agent."""
        choose(self._agents, name or self._around.conversation.agent)

    def session(self, session_id: str) -> Session:
        """One that is not closing. Raise UnknownName."""
        session = self._sessions.get(session_id)
        if session is None or not session.open:
            raise UnknownName(f"there is no session {session_id!r}", hint="status lists the sessions")
        return session

    def sessions(self) -> tuple[Session, ...]:
        return tuple(self._sessions.values())

    def notify_room(self, text: str, label: str = "", urgent: bool = False) -> None:
        """Tell it in the room, in a session of its own where there is none. Raise NotPossible without a room line."""
        room = next((line for line in self._lines.values() if line.kind is LineKind.ROOM), None)
        if room is None:
            raise NotPossible("There is nobody left to tell.")
        if room.session is not None and not room.session.open:
            self._untold.append((text, label, urgent))
            return
        # What rings is owed to the person, so it does not count against max_sessions.
        session = room.session or self._open(room, "", "", greeting=False)
        session.notify(text, label=label, urgent=urgent)

    async def close(self, reason: str) -> None:
        """Close all lines, side by side; at most 4 s."""
        if self._level_timer is not None:
            self._level_timer.cancel()
            self._level_timer = None
        await asyncio.gather(*(self.close_line(line_id, reason) for line_id in tuple(self._lines)))

    def set_agents(self, agents: Mapping[str, Agent]) -> None:
        """For sessions that begin from now on."""
        self._agents = agents

    def redial(self) -> None:
        """The configuration was read again: whatever provider refused may be tried."""
        self._around.standings.clear()
        for session in self._sessions.values():
            session.link.redial()

    # --- for the control API ---

    def status(self) -> dict[str, Any]:
        return {
            "lines": [line.status() for line in self._lines.values()],
            "sessions": [
                {
                    "id": session.id,
                    "line": session.line.id,
                    "state": session.state.value,
                    "turn": session.turn,
                    "turn_state": session.turn_state.value,
                    "agent": session.agent,
                    "provider": session.provider,
                    "rung": session.rung,
                    "started_at": session.started_at,
                }
                for session in self._sessions.values()
            ],
            "limits": {
                "minutes_per_call": self._around.limits.minutes_per_call,
                "minutes_per_day": self._around.limits.minutes_per_day,
                "minutes_today": round(self._around.usage.seconds_today() / 60, 2),
            },
        }

    def counters(self) -> dict[str, int]:
        """Sums over all lines and sessions since the start; of queues, what they hold now."""
        totals = Counter(self._past)
        for line in self._lines.values():
            totals.update(line.counters())
        for session in self._sessions.values():
            totals.update(session.counters())
        return {**totals, "sessions": len(self._sessions), "lines": len(self._lines)}

    def watch_levels(self) -> Callable[[], None]:
        """Publish AudioLevel at 10 Hz until the returned function is called."""
        self._levels += 1
        watching = True

        def leave() -> None:
            nonlocal watching
            self._levels -= watching
            watching = False

        if self._level_timer is None:
            self._tell_levels()
        return leave

    # --- inside ---

    def _open(self, line: Line, agent: str, user: str, *, greeting: bool, about: str = "") -> Session:
        if line.session is not None or line.id in self._leaving:
            raise LineBusy(f"line {line.id} is taken")
        chosen = choose(self._agents, agent or self._around.conversation.agent)
        line.playout.forget()
        session = Session(
            line,
            chosen,
            self._around,
            lambda new: self._context(new, line),
            self._session_closed,
            user=user,
            about=about,
        )
        line.session = session
        if line.loan is not None:
            session.park()
        self._sessions[session.id] = session
        session.start(greeting=greeting)
        return session

    async def _close(self, line: Line, reason: str) -> None:
        try:
            if line.session is not None:
                await line.session.close(reason)
            await line.close()
            self._remember(line.counters())
        finally:
            del self._lines[line.id], self._leaving[line.id]

    def _context(self, session: Session, line: Line) -> SessionContext:
        return SessionContext(
            session, line.id, line.kind, lambda: self.line(line.id), self.notify_room, self.phone
        )

    def _session_closed(self, session: Session, reason: str) -> None:
        self._sessions.pop(session.id, None)
        self._remember(session.counters())
        line = self._lines.get(session.line.id)
        if line is None or line.session is not session:
            return
        line.session = None
        if line.id in self._leaving:
            return
        if self.on_closed is not None:
            self.on_closed(line, session, reason)
        if line.kind is LineKind.ROOM:
            untold = tuple(self._untold)
            self._untold.clear()
            for text, label, urgent in untold:
                self.notify_room(text, label, urgent)

    def _remember(self, counters: Mapping[str, int]) -> None:
        self._past.update({name: count for name, count in counters.items() if name not in _GAUGES})

    def _canceller(self) -> EchoCanceller | None:
        if self._room.duplex == "half":
            return None
        try:
            return self._ears.canceller()
        except ApplianceError as fault:
            logger.warning("no echo cancellation: %s", fault.message)
            return None

    def _set_wake(self, line: Line) -> None:
        """Without its detector the key alone opens a turn: a room that waits for a word must not listen to all."""
        try:
            line.wake = self._ears.wake()
        except ApplianceError as fault:
            logger.error("no wake word: %s (%s)", fault.message, fault.hint)
            self._around.bus.publish(
                Warned(line=line.id, code=fault.code, message=fault.message, hint=fault.hint)
            )
        if line.wake is None:
            line.need_key()

    def _name(self, kind: LineKind) -> str:
        if kind is LineKind.ROOM and kind.value not in self._lines:
            return kind.value
        self._numbers[kind.value] += 1
        return f"{kind.value}-{self._numbers[kind.value]}"

    def _tell_levels(self) -> None:
        if not self._levels:
            self._level_timer = None
            return
        self._level_timer = asyncio.get_running_loop().call_later(LEVEL_SECONDS, self._tell_levels)
        for line in self._lines.values():
            self._around.bus.publish(line.level())
