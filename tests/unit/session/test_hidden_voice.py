"""A canceller that hides somebody again whom it had let through: the answer stays paused while they go on talking."""

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.frames import Frame
from appliance.session.onset import LONGEST_SUSPICION_MS, LULL_MS, OnsetWatch
from appliance.session.turn import SpeechConfirmed, SpeechDismissed, SpeechStarted, TurnEvent

FRAME_MS = 20


class Room:
    """What is heard while the appliance speaks; `events` with the milliseconds after which they came."""

    def __init__(self) -> None:
        self.watch = OnsetWatch(60, 240)
        self.events: list[tuple[type[TurnEvent], int]] = []
        self._doubtful = False
        self._voiced = 0.0
        self._speech = False
        self._frames = 0

    def hear(
        self, milliseconds: int, *, speech: bool = True, voiced: bool = False, over: bool = False
    ) -> None:
        """`speech`: the detector says so, for the hangover that it has too; `voiced`: it hears it now."""
        for _ in range(milliseconds // FRAME_MS):
            self._frames += 1
            edge = Edge.STARTED if speech and not self._speech else None
            self._speech = speech
            self._voiced = (self._voiced + FRAME_MS * voiced) if speech else 0.0
            frame = Frame(bytes(640), 16_000, self._frames / 50)
            captured = Captured(frame, speech, edge, self._voiced, -30.0, over, 300.0)
            event = self.watch.hear(captured, doubtful=self._doubtful, sounding=not self._doubtful)
            if event is not None:
                self.events.append((type(event), self._frames * FRAME_MS))
                self._doubtful = isinstance(event, SpeechStarted)

    def told(self) -> list[type[TurnEvent]]:
        return [event for event, _ in self.events]


def test_a_lull_ends_a_candidate():
    room = Room()
    room.hear(100, voiced=True)
    room.hear(400)
    assert room.told() == [SpeechStarted, SpeechDismissed]


def test_it_is_no_lull_while_somebody_seems_to_talk_and_the_voice_that_comes_back_confirms():
    room = Room()
    room.hear(100, voiced=True)
    room.hear(400, over=True)
    room.hear(180, voiced=True, over=True)
    assert room.told() == [SpeechStarted, SpeechConfirmed]


def test_that_holds_also_when_the_detector_gives_the_voice_up_meanwhile():
    room = Room()
    room.hear(100, voiced=True)
    room.hear(500, over=True)
    room.hear(100, speech=False, over=True)
    assert room.told() == [SpeechStarted]
    room.hear(300, voiced=True, over=True)
    assert room.told() == [SpeechStarted, SpeechConfirmed]


def test_it_has_an_end():
    room = Room()
    room.hear(100, voiced=True)
    room.hear(3_000, over=True)
    assert room.told() == [SpeechStarted, SpeechDismissed]
    assert room.events[-1][1] <= 100 + LONGEST_SUSPICION_MS + LULL_MS + 20


def test_whoever_seems_to_talk_on_pauses_the_answer_again_though_the_detector_has_not_fallen_silent():
    room = Room()
    room.hear(100, voiced=True)
    room.hear(280)
    room.hear(60, over=True)
    assert room.told() == [SpeechStarted, SpeechDismissed, SpeechStarted]
