"""A place where a person talks: the room, a phone call, a client. It has ears and a mouth, and at times a session."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.audio.capture import Captured, CapturePath, CaptureWorker
from appliance.audio.duplex import Choice, Duplex
from appliance.audio.level import SILENCE_DBFS
from appliance.audio.playout import Playout
from appliance.audio.ring import Ring
from appliance.audio.vad import Edge
from appliance.audio.wake import Floor, WakeGate, Way
from appliance.bus import EventBus
from appliance.errors import ApplianceError, MuteSwitchOn
from appliance.events import AudioLevel, MuteChanged, VolumeChanged, WakeChanged, Warned
from appliance.frames import FRAME_MS
from appliance.interfaces import LineKind
from appliance.session.loan import Listener, Loan
from appliance.session.onset import FOREIGN_START_MS
from appliance.session.session import Session
from appliance.session.turn import TurnState

MARKS_SECONDS: Final = 0.01
ECHO_TAIL_SECONDS: Final = 0.2
LOAN_AUDIBLE_DBFS: Final = -50.0
"""What comes from another line never ends; louder than this it is speech that a microphone would hear."""
BACKLOG_MS: Final = {LineKind.ROOM: 200.0, LineKind.PHONE: 200.0, LineKind.CLIENT: 2_500.0}
"""Sound that may wait for its processing. A device's is cut, not to be late for good; a program's comes in bursts, up
to four times as fast as it is spoken, and every word of it is still wanted."""
SWITCH: Final = "switch"
HOOK: Final = "hook"
"""What shuts a line's microphone beside mute: the switch at the box, and the cradle that the receiver lies on."""
REMEMBERED_MS: Final = 1_500.0
"""Sound that a line without a session keeps, to have the pre-roll of the speech that opens one."""


class Line:
    """All methods belong to the loop's thread; `capture.feed` and `pull` to the driver's.

    `duplex` (appliance.audio.duplex) half: the microphone is not listened to while the playout is active, and 200 ms
    after.
    """

    def __init__(
        self,
        line_id: str,
        kind: LineKind,
        path: CapturePath,
        playout: Playout,
        bus: EventBus,
        open_session: Callable[["Line"], Session],
        *,
        reference: Ring | None = None,
        half_duplex: bool = False,
        by_voice: bool = True,
    ) -> None:
        self.id = line_id
        self.kind = kind
        self.playout = playout
        self.capture = CaptureWorker(
            line_id, path, self.hear, reference=reference, backlog_ms=BACKLOG_MS[kind]
        )
        self.capture.at_ease = self._at_ease
        self.session: Session | None = None
        self.duplex = Duplex.HALF if half_duplex else Duplex.FULL
        self.by_voice = self._by_voice = by_voice
        """Speech opens a turn; otherwise the push-to-talk key alone does."""
        self.device: Mapping[str, Any] = {}
        """Kind of device to its name and state, as `status` shows it."""
        self.cancels = reference is not None
        """There is an echo canceller."""
        self.acoustics: Mapping[str, Any] | None = None
        """What was measured of the devices, as `status` shows it."""
        self._told_muted = False
        self.voiced_at = float("-inf")
        """Monotonic second of the last frame with speech in it."""
        self.wake: WakeGate | None = None
        """Where a wake word is needed."""
        self.loan: Loan | None = None
        """What the line is used for while its session waits."""
        self._bus = bus
        self._open_session = open_session
        self._loop = asyncio.get_running_loop()
        self._remembered: deque[Captured] = deque(maxlen=round(REMEMBERED_MS / FRAME_MS))
        self._deaf_until = 0.0
        self._level_dbfs = SILENCE_DBFS
        self._watch: asyncio.TimerHandle | None = None
        self._unheard = 0
        self._begun = False

    @property
    def muted(self) -> bool:
        """By somebody's wish, or by the switch at the box."""
        return self.capture.muted or SWITCH in self.capture.shut_by

    @property
    def deaf(self) -> bool:
        """Muted, or its receiver is on the hook."""
        return self.capture.muted or bool(self.capture.shut_by)

    @property
    def volume(self) -> int:
        return self.playout.volume

    def start(self) -> None:
        """Begin to listen."""
        self.capture.start(self._loop)

    def hear(self, captured: Captured) -> None:
        """The next 20 ms, from the capture worker."""
        self._level_dbfs = captured.level_dbfs
        if captured.speech:
            self.voiced_at = captured.frame.at
        session, loan = self.session, self.loan
        if self._half_deaf():
            self._remembered.clear()
            if session is not None and loan is None:
                session.miss(captured)
        elif loan is not None:
            if loan.listener is not None:
                loan.listener(captured)
        elif self.wake is not None:
            self._hear_waking(self.wake, captured)
        else:
            self._listen(captured)

    def _listen(self, captured: Captured) -> None:
        if self.session is not None:
            self._begun = False
            self.session.hear(captured)
        elif self.kind is LineKind.ROOM:
            self._wait_for_speech(captured)

    def _hear_waking(self, wake: WakeGate, captured: Captured) -> None:
        """Nothing of it reaches a session, and so nobody outside, before the wake word was said."""
        state = self.session.turn_state if self.session is not None else TurnState.IDLE
        busy = state in (TurnState.SPEAKING, TurnState.THINKING)
        way = wake.take(captured, self._loop.time(), Floor(idle=state is TurnState.IDLE, busy=busy))
        if way is Way.HEAR:
            self._listen(captured)
            return
        if way is Way.WAKE:
            self._bus.publish(WakeChanged(line=self.id, state="awake", word=wake.word))
            self._wake_up(wake, interrupt=busy)
        elif way is Way.STOP:
            self._bus.publish(WakeChanged(line=self.id, state="stopped", word=wake.word))
            if self.session is not None:
                self.session.interrupt("stop word")
                self.session.dismiss()
        elif way is Way.SLEEP:
            self._bus.publish(WakeChanged(line=self.id, state="asleep"))
        if self.session is not None:
            self.session.miss(captured)

    def _wake_up(self, wake: WakeGate, *, interrupt: bool) -> None:
        session = self.session or self._opened()
        if session is None:
            return
        if interrupt:
            session.interrupt("wake word")
        for before in wake.pre_roll():
            session.hear(before)

    def set_muted(self, on: bool) -> None:
        """While muted, no sample of the microphone leaves the driver. Raise MuteSwitchOn: that stands above it."""
        if not on and SWITCH in self.capture.shut_by:
            raise MuteSwitchOn("the microphone is switched off at the box")
        if on == self.capture.muted:
            return
        self.capture.muted = on
        self._deafened(on)

    def shut(self, by: str, on: bool) -> None:
        """As muted, by SWITCH or HOOK, which alone can take it back."""
        self.capture.shut(by, on)
        self._deafened(on, by if by == SWITCH else None)

    def _deafened(self, on: bool, by: str | None = None) -> None:
        self._remembered.clear()
        if on and self.session is not None:
            self.session.deafen()
        # The switch's own thread may have shut the microphone already: what counts is what was told.
        if self.muted != self._told_muted:
            self._told_muted = self.muted
            self._bus.publish(MuteChanged(line=self.id, on=self.muted, by=by))

    def set_volume(self, level: int) -> int:
        """0-100; return what is in force."""
        level = min(100, max(0, level))
        if level != self.playout.volume:
            self.playout.volume = level
            if self.loan is not None:
                self.loan.playout.volume = level
            self._bus.publish(VolumeChanged(line=self.id, level=level))
        return level

    def set_duplex(self, choice: Choice) -> None:
        """How the room may be talked in from now on; whether a key is needed, from the next session on."""
        self.duplex = choice.mode
        self.playout.trim = 10 ** (-choice.duck_db / 20)
        if self.loan is not None:
            self.loan.playout.trim = self.playout.trim
        self.by_voice = self._by_voice and choice.mode is not Duplex.PUSH_TO_TALK

    def need_key(self) -> None:
        """From now on the push-to-talk key alone opens a turn."""
        self.by_voice = self._by_voice = False

    def lend(self, listener: Listener | None = None) -> Loan:
        """Use the line for something else than its session, which is parked: none of its sound is taken meanwhile.

        `listener` gets what is heard, 20 ms at 16 kHz. What is lent already is lent anew.
        """
        self.reclaim()
        playout = Playout(self.playout.rate, clock=self._loop.time)
        playout.volume, playout.reference = self.playout.volume, self.playout.reference
        playout.lag, playout.trim = self.playout.lag, self.playout.trim
        if self.session is not None:
            self.session.park()
        self._remembered.clear()
        self.loan = Loan(playout, listener)
        return self.loan

    def reclaim(self) -> None:
        """The session goes on. Nothing where the line is not lent."""
        loan, self.loan = self.loan, None
        if loan is None:
            return
        loan.silence()
        if self.session is not None:
            self.session.unpark()
            self.watch_playout()

    def pull(self, samples: int) -> bytes:
        """What sounds next, s16le at the playout's rate."""
        loan = self.loan
        return (loan.playout if loan is not None else self.playout).pull(samples)

    def press(self) -> None:
        """Push-to-talk: opens a session where there is none. Raise LineBusy when none can be had."""
        session = self.session or self._open_session(self)
        self.rouse()
        session.press()
        # Whoever presses means it: the echo of what was cut off is worth less than the first word.
        self._deaf_until = 0.0

    def rouse(self, *, held: bool = False) -> None:
        """Somebody wants to talk: no wake word is needed for a while, `held`: until `doze`."""
        if self.wake is None:
            return
        slept = not self.wake.awake
        self.wake.rouse(self._loop.time(), held=held)
        if slept:
            self._bus.publish(WakeChanged(line=self.id, state="awake"))

    def doze(self) -> None:
        """From here on the wake word is needed again."""
        if self.wake is not None and self.wake.doze():
            self._bus.publish(WakeChanged(line=self.id, state="asleep"))

    def release(self) -> None:
        if self.session is not None:
            self.session.release()

    def watch_playout(self) -> None:
        """Hand the playout's marks to the session until nothing plays any more."""
        if self._watch is None:
            self._watch = self._loop.call_later(MARKS_SECONDS, self._hand_over_marks)

    def level(self) -> AudioLevel:
        heard = SILENCE_DBFS if self.deaf else self._level_dbfs
        return AudioLevel(line=self.id, input_dbfs=heard, output_dbfs=round(self.playout.level_dbfs(), 1))

    def status(self) -> dict[str, Any]:
        measured = {"acoustics": dict(self.acoustics)} if self.acoustics is not None else {}
        return {
            "id": self.id,
            "kind": self.kind.value,
            "muted": self.muted,
            "shut_by": sorted(self.capture.shut_by),
            "volume": self.volume,
            "duplex": self.duplex.value,
            "session": self.session.id if self.session is not None else None,
            "device": dict(self.device),
            **measured,
        }

    def counters(self) -> Mapping[str, int]:
        return {**self.capture.counters(), **self.playout.counters(), "sessions_refused": self._unheard}

    async def close(self) -> None:
        """Stop listening and playing; at most 2 s. The session is closed by then."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self.loan is not None:
            self.loan.silence()
        self.playout.flush()
        await asyncio.to_thread(self.capture.stop)
        if self.wake is not None:
            self.wake.close()
            self.wake = None

    def _half_deaf(self) -> bool:
        if self.duplex is not Duplex.HALF:
            return False
        now = self._loop.time()
        loan = self.loan
        if self.playout.active() if loan is None else loan.playout.level_dbfs() > LOAN_AUDIBLE_DBFS:
            self._deaf_until = now + ECHO_TAIL_SECONDS
        return now < self._deaf_until

    def _at_ease(self) -> bool:
        """Any thread: nothing sounds or has just sounded, nobody has the floor, and nobody else listens."""
        session = self.session
        if self.playout.active() or self.loan is not None or self._loop.time() < self._deaf_until:
            return False
        return session is None or session.turn_state is TurnState.IDLE

    def _wait_for_speech(self, captured: Captured) -> None:
        self._remembered.append(captured)
        if captured.edge is not None:
            self._begun = captured.edge is Edge.STARTED
        # The tail of what sounded last is no person: who begins within it is heard as soon as they are more than that.
        if not self.by_voice or not self._begun or captured.foreign_ms < FOREIGN_START_MS:
            return
        self._begun = False
        session = self._opened()
        if session is None:
            return
        for remembered in self._remembered:
            session.hear(remembered)
        self._remembered.clear()

    def _opened(self) -> Session | None:
        """A session for who has begun to speak; None, and told, where there can be none."""
        try:
            return self._open_session(self)
        except ApplianceError as fault:
            self._unheard += 1
            self._bus.publish(Warned(line=self.id, code=fault.code, message=fault.message, hint=fault.hint))
            return None

    def _hand_over_marks(self) -> None:
        active = self.playout.active()
        for mark in self.playout.take_marks():
            if self.session is not None:
                self.session.played(mark)
        if active or self.playout.active():
            self._watch = self._loop.call_later(MARKS_SECONDS, self._hand_over_marks)
        else:
            self._watch = None
