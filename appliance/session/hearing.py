"""The person's side of the floor: frames in, events of the turn table out; by voice, or by the push-to-talk key."""

from typing import Final

from appliance.audio.capture import Captured
from appliance.interfaces import SendAudio
from appliance.session.floor import Floor, FloorOwner
from appliance.session.onset import OnsetWatch
from appliance.session.turn import (
    Phase,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    TalkPressed,
    TurnEvent,
)
from appliance.session.uplink import Uplink

LONGEST_TURN_SECONDS: Final = 60.0
STARVED_SECONDS: Final = 1.0
RELEASE_TAIL_SECONDS: Final = 0.1
"""How long after the key is up the last frames before it may still come."""
SHORT_PRESS_MS: Final = 300.0


class Hearing:
    """`by_voice`: the detector opens and ends turns; otherwise the key alone does."""

    def __init__(
        self, floor: Floor, uplink: Uplink, onset: OnsetWatch, owner: FloorOwner, *, by_voice: bool
    ) -> None:
        self.last_voiced_at = 0.0
        """Monotonic second of the last sound of the person's voice."""
        self.pressed = False
        self._floor = floor
        self._uplink = uplink
        self._onset = onset
        self._owner = owner
        self._by_voice = by_voice
        self._released_at: float | None = None
        self._press_ms = 0.0
        self._press_voiced = False
        self._voiced_ms = 0.0
        self._turn_began_at = 0.0
        self._heard_at = 0.0

    def hear(self, captured: Captured) -> None:
        """Take the next 20 ms."""
        self._heard_at = self._owner.now()
        if captured.voiced_ms > self._voiced_ms:
            self.last_voiced_at = captured.frame.at
        self._voiced_ms = captured.voiced_ms
        if self.pressed:
            self._hear_pressed(captured)
            return
        self._pass_on(captured)
        if self._by_voice:
            phase = self._floor.phase
            sounding = phase is Phase.SPEAKING
            event = self._onset.hear(captured, doubtful=phase.doubtful, sounding=sounding)
            if event is not None:
                self._tell(event, captured.voiced_ms)

    def press(self) -> None:
        """The key is down: an unconditional barge-in. Until it is up, all that is heard is the turn."""
        if self.pressed:
            # The key came down again before the tail of the release was over: one turn.
            self._released_at = None
            return
        self.pressed = True
        self._released_at = None
        self._press_ms = 0.0
        self._press_voiced = self._floor.phase.heeds
        self._heard_at = self._turn_began_at = self._owner.now()
        self._onset.ignore()
        if self._by_voice:
            self._uplink.onset(0.0)
        else:
            self._uplink.forget()
        self._floor.drive(TalkPressed(), "push-to-talk")

    def release(self) -> None:
        """The key is up: the turn ends as soon as its last frame is here."""
        if self.pressed and self._released_at is None:
            self._released_at = self._owner.now()

    def deafen(self) -> None:
        """Nothing is heard for a while (mute, a lost device): what was begun ends here."""
        if self.pressed:
            self._end_press()
            return
        event = self._onset.cut(doubtful=self._floor.phase.doubtful)
        if event is not None:
            self._floor.drive(event)

    def dismiss(self) -> None:
        """What was begun to be said is for nobody: no turn comes of it."""
        self._onset.cut(doubtful=False)
        if not self.pressed and self._floor.phase is Phase.LISTENING:
            self._floor.drive(SpeechDismissed())

    def end_turn(self, turn: int) -> bool:
        """The provider takes `turn` for finished; False where it is not the one that is open, or is the key's."""
        if self.pressed or not self._onset.running or not self._floor.phase.heeds or turn != self._floor.turn:
            return False
        self._onset.cut(doubtful=False)
        self._floor.drive(SpeechStopped())
        return True

    def miss(self, captured: Captured) -> None:
        """20 ms that are not to be heard: the appliance's own voice is in them."""
        if self._onset.running:
            self.deafen()
        self._heard_at = self._owner.now()
        self._onset.skip(captured.voiced_ms)
        self._voiced_ms = captured.voiced_ms

    def check(self) -> None:
        """Called now and then: ends what would otherwise never end."""
        now = self._owner.now()
        if self.pressed:
            too_long = now - self._turn_began_at > LONGEST_TURN_SECONDS
            if too_long or (self._released_at is not None and now - self._released_at > RELEASE_TAIL_SECONDS):
                self._end_press()
        elif self._onset.running:
            if now - self._heard_at > STARVED_SECONDS:
                self.deafen()
            elif self._floor.phase.heeds and now - self._turn_began_at > LONGEST_TURN_SECONDS:
                self._onset.ignore()
                self._floor.drive(SpeechStopped())

    def _tell(self, event: TurnEvent, voiced_ms: float) -> None:
        if isinstance(event, SpeechStarted):
            self._uplink.onset(voiced_ms)
            self._turn_began_at = self._owner.now()
        self._floor.drive(event)

    def _pass_on(self, captured: Captured) -> None:
        if self._floor.phase.heeds:
            self._uplink.add(captured.frame, speech=captured.speech)
            self._owner.send(SendAudio(self._floor.turn, captured.frame))
        else:
            self._uplink.keep(captured.frame)

    def _hear_pressed(self, captured: Captured) -> None:
        began_at = captured.frame.at - captured.frame.duration_ms / 1000
        if self._released_at is not None and began_at >= self._released_at:
            self._end_press()
            self._pass_on(captured)
            return
        self._press_ms += captured.frame.duration_ms
        self._press_voiced |= captured.speech
        self._pass_on(captured)

    def _end_press(self) -> None:
        self.pressed = False
        self._released_at = None
        if self._floor.phase is not Phase.LISTENING:
            return
        spoken = self._press_voiced or self._press_ms >= SHORT_PRESS_MS
        self._floor.drive(SpeechStopped() if spoken else SpeechDismissed())
