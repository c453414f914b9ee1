"""The wake gate: what becomes of each frame, without a detector of its own."""

import pytest

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.audio.wake import Floor, WakeGate, Way
from appliance.config.schema import WakeWord
from appliance.frames import Frame

SPEAKING = Floor(idle=False, busy=True)
LISTENING = Floor(idle=False, busy=False)
IDLE = Floor()


class Words:
    """Hears a word in the frames that hold its first byte."""

    def __init__(self, word: str, mark: int) -> None:
        self._word, self._mark = word, mark

    def heard(self, pcm: bytes) -> str | None:
        return self._word if pcm[0] == self._mark else None

    def close(self) -> None:
        return


class StopWords(Words):
    """Hears a stop word there."""

    def heard(self, captured: Captured, *, busy: bool) -> str | None:  # type: ignore[override]
        return super().heard(captured.frame.pcm)


class Room:
    """Frames, one after the other."""

    def __init__(self, **settings: object) -> None:
        self.gate = WakeGate(WakeWord(**settings), Words("hello", 1), [StopWords("stop", 2)])  # type: ignore[arg-type]
        self.now = 100.0

    def say(self, mark: int, floor: Floor = IDLE, *, speech: bool = True, seconds: float = 0.02) -> Way:
        ways = []
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            frame = Frame(bytes([mark]) + bytes(639), 16_000, self.now)
            edge = Edge.STARTED if speech else None
            ways.append(self.gate.take(Captured(frame, speech, edge, 60.0, -20.0), self.now, floor))
        return ways[-1]


def test_before_the_word_nothing_is_heard_and_after_it_everything():
    room = Room()
    assert room.say(0, seconds=2) is Way.MISS
    assert room.say(1) is Way.WAKE
    assert room.gate.word == "hello"
    assert room.say(0) is Way.HEAR


def test_the_room_falls_asleep_when_nobody_says_more():
    room = Room(follow_up=3.0)
    room.say(1)
    assert room.say(0, speech=False, seconds=2.9) is Way.HEAR
    assert room.say(0, speech=False, seconds=0.12) is not Way.HEAR
    assert not room.gate.awake
    assert room.say(0) is Way.MISS


def test_after_an_answer_no_word_is_needed_for_a_while():
    room = Room(follow_up=3.0)
    room.say(1)
    assert room.say(0, SPEAKING, speech=False, seconds=20) is Way.MISS
    assert room.say(0, speech=False, seconds=2.8) is Way.HEAR
    assert room.say(0, seconds=1) is Way.HEAR
    assert room.say(0, speech=False, seconds=2.8) is Way.HEAR


def test_falling_asleep_is_told_once():
    room = Room(follow_up=0.0)
    room.say(1)
    assert [room.say(0, speech=False) for _ in range(3)] == [Way.SLEEP, Way.MISS, Way.MISS]


@pytest.mark.parametrize(("interrupt", "way"), [("word", Way.MISS), ("speech", Way.HEAR)])
def test_what_interrupts_an_answer_is_configured(interrupt: str, way: Way):
    room = Room(interrupt=interrupt)
    room.say(1)
    assert room.say(0, SPEAKING) is way
    assert room.say(1, SPEAKING) is Way.WAKE


def test_a_stop_word_ends_an_answer_also_one_that_nobody_asked_for():
    room = Room()
    assert room.say(2, SPEAKING) is Way.STOP
    room.say(1)
    assert room.say(2, SPEAKING) is Way.STOP
    assert not room.gate.awake


def test_a_stop_word_in_silence_is_a_word_like_others():
    room = Room()
    assert room.say(2) is Way.MISS
    room.say(1)
    assert room.say(2) is Way.HEAR


def test_a_stop_word_ends_an_answer_also_where_its_speaker_has_the_floor_already():
    room = Room(interrupt="speech")
    room.say(1)
    assert room.say(0, SPEAKING) is Way.HEAR
    assert room.say(2, LISTENING) is Way.STOP
    assert room.say(0) is Way.MISS


def test_the_wake_word_within_a_sentence_is_part_of_it():
    room = Room()
    room.say(1)
    assert room.say(1, LISTENING) is Way.HEAR


def test_a_key_needs_no_word():
    room = Room()
    room.gate.rouse(room.now)
    assert room.say(0) is Way.HEAR


def test_what_was_said_just_before_is_there_as_if_it_were_no_speech():
    room = Room()
    room.say(0, seconds=1)
    room.say(1)
    before = room.gate.pre_roll()
    assert len(before) == 10
    assert not any(one.speech or one.edge or one.voiced_ms for one in before)
    assert before[-1].frame.pcm[0] == 1
