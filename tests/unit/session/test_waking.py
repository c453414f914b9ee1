"""The room with a wake word: nobody outside hears anything before it, and the sentence after it is whole."""

from appliance.audio.wake import WakeGate
from appliance.config.schema import Room, WakeWord
from appliance.events import WakeChanged
from appliance.interfaces import LineKind
from tests.fakes.canceller import NoEcho
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time
from tests.rig.wake_word import SaidStop, Word


class WakingRoom(Booth):
    def __init__(self, **settings: object) -> None:
        super().__init__(kind=LineKind.ROOM, open_session=False, canceller=NoEcho)
        self.word, self.stop = Word("hello"), SaidStop()
        self._settings = WakeWord(**settings)  # type: ignore[arg-type]

    async def __aenter__(self):
        await super().__aenter__()
        self.line.wake = WakeGate(self._settings, self.word, [self.stop])
        return self

    async def say_the_word(self) -> None:
        """0.6 s of voice; its end is found 0.1 s later, while the voice goes on or not."""
        await self.speak(0.6)
        await self.wait(0.1)
        self.word.said = True
        await self.wait(0.05)

    def states(self) -> list[str]:
        return [event.state for event in self.of(WakeChanged)]


@virtual_time
async def test_without_the_word_there_is_not_even_a_session():
    async with WakingRoom() as room:
        await room.speak(5.0)
        await room.wait(1.0)
        assert room.line.session is None
        assert room.provider.connections == []
        assert room.states() == []


@virtual_time
async def test_a_sentence_in_the_same_breath_is_whole():
    async with WakingRoom() as room:
        room.microphone.voiced = True
        await room.wait(0.6)
        begins = room.microphone.number + 1
        await room.wait(0.16)
        room.word.said = True
        await room.wait(1.5)
        room.microphone.voiced = False
        await room.state("thinking")
        got = [int.from_bytes(frame[:2], "little") for frame in room.provider.turns[1].frames]
        assert set(range(begins, begins + 60)) <= set(got)
        assert min(got) > begins - 15, "the word itself stays here, but for its end"
        assert room.states() == ["awake"]
        await room.idle()


@virtual_time
async def test_the_word_alone_is_no_turn_and_the_sentence_after_a_pause_is():
    async with WakingRoom() as room:
        await room.say_the_word()
        await room.wait(2.0)
        assert room.session.turn == 0 or not room.provider.turns
        await room.answered()
        assert room.states() == ["awake"]


@virtual_time
async def test_after_the_answer_a_question_needs_no_word_and_later_it_does():
    async with WakingRoom(follow_up=4.0) as room:
        await room.say_the_word()
        await room.answered()
        await room.wait(2.0)
        await room.answered()
        turns = room.session.turn
        await room.wait(6.0)
        assert room.states() == ["awake", "asleep"]
        await room.speak(2.0)
        await room.wait(2.0)
        assert room.session.turn == turns


@virtual_time
async def test_an_answer_goes_on_while_others_talk_and_ends_with_the_word():
    async with WakingRoom() as room:
        await room.say_the_word()
        await room.speak(0.8)
        await room.state("speaking")
        await room.wait(0.3)
        await room.speak(0.5)
        assert room.session.turn_state == "speaking"
        room.word.said = True
        await room.wait(0.1)
        assert room.session.turn_state == "idle"
        await room.answered()


@virtual_time
async def test_the_stop_word_silences_and_that_is_all():
    async with WakingRoom() as room:
        await room.say_the_word()
        await room.speak(0.8)
        await room.state("speaking")
        await room.wait(0.3)
        room.stop.said = True
        await room.wait(0.1)
        assert room.session.turn_state == "idle"
        assert room.states() == ["awake", "stopped"]
        turns = room.session.turn
        await room.speak(1.0)
        await room.wait(1.0)
        assert room.session.turn == turns


@virtual_time
async def test_where_any_speech_interrupts_the_stop_word_opens_no_turn():
    async with WakingRoom(interrupt="speech") as room:
        await room.say_the_word()
        await room.speak(0.8)
        await room.state("speaking")
        await room.wait(0.3)
        answered = len(room.provider.answers)
        await room.speak(0.5)
        assert room.session.turn_state == "listening"
        await room.wait(0.2)
        room.stop.said = True
        await room.wait(0.1)
        assert room.session.turn_state == "idle"
        await room.wait(3.0)
        assert len(room.provider.answers) == answered
        assert room.states() == ["awake", "stopped"]


@virtual_time
async def test_the_key_needs_no_word():
    async with WakingRoom() as room:
        room.line.press()
        await room.speak(0.8)
        room.line.release()
        await room.state("thinking")
        await room.idle()


@virtual_time
async def test_where_the_detector_is_missing_the_room_listens_to_the_key_alone():
    class Bare(Booth):
        def __init__(self) -> None:
            super().__init__(kind=LineKind.ROOM, room=Room(mode="wake-word"), open_session=False)

    async with Bare() as room:
        await room.speak(2.0)
        assert room.line.session is None
        assert not room.line.by_voice
