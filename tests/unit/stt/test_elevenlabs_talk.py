"""The protocol of Scribe, in whatever order things happen."""

import base64
import json
from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProviderUnavailable
from appliance.providers.stt.elevenlabs_talk import ScribeTalk, query
from appliance.stages import Transcript, TranscriptEvent

FRAME = bytes(640)
ACTS = st.one_of(
    st.tuples(st.just("hear"), st.integers(1, 12)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("discard"), st.integers(0, 3)),
    st.tuples(st.just("tell"), st.just(0)),
    st.tuples(st.just("partial"), st.just(0)),
    st.tuples(st.just("keep_alive"), st.just(0)),
    st.tuples(st.just("junk"), st.integers(0, 20)),
)
JUNK = (
    "",
    "{",
    "[]",
    "null",
    b"\xff",
    "[" * 3_000,
    '{"message_type": 1}',
    '{"message_type": "partial_transcript"}',
    '{"message_type": "committed_transcript", "text": null}',
    '{"message_type": "committed_transcript_with_timestamps", "text": "x"}',
    '{"message_type": "warning", "warning": "x"}',
    '{"message_type": "input_error", "error": "x"}',
)


class Service:
    """Reads a segment as the number of its loud frames."""

    def __init__(self, talk: ScribeTalk) -> None:
        self.talk = talk
        self.told: deque[str] = deque()
        self.loud = 0

    def listen(self) -> None:
        while self.talk.post.outgoing:
            message = json.loads(self.talk.post.outgoing.popleft())
            self.loud += base64.b64decode(message["audio_base_64"]).count(1) // 640
            if message["commit"]:
                text = str(self.loud)
                self.told.append(json.dumps({"message_type": "committed_transcript", "text": text}))
                self.loud = 0

    def tell(self) -> None:
        while self.told:
            self.talk.read(self.told.popleft())


@pytest.mark.slow
@given(acts=st.lists(ACTS, max_size=60))
def test_each_committed_turn_reads_as_what_was_said_in_it(acts: list[tuple[str, int]]) -> None:
    talk = ScribeTalk()
    service = Service(talk)
    turn, committed, discarded = 1, [], set()
    spoken: Counter[int] = Counter()
    events: list[TranscriptEvent] = []
    for act, number in acts:
        match act:
            case "hear":
                speak(talk, turn, number, b"\x01" * 640)
                spoken[turn] += number
            case "commit":
                talk.commit(turn)
                committed.append(turn)
                turn += 1
            case "discard":
                talk.discard(max(1, turn - number))
                discarded.add(max(1, turn - number))
                turn += number == 0
            case "partial":
                read(talk, "partial_transcript", text="...")
            case "keep_alive":
                talk.keep_alive()
            case "junk":
                talk.read(JUNK[number % len(JUNK)])
            case _:
                service.tell()
        service.listen()
        events += talk.post.events
        talk.post.events.clear()
    service.tell()
    events += talk.post.events
    finals = [event for event in events if isinstance(event, Transcript) and event.final]
    assert len(finals) == len({event.turn for event in finals})
    assert {event.turn for event in finals} >= set(committed) - discarded
    assert all(int(event.text or 0) == spoken[event.turn] for event in finals)
    assert not talk.post.awaited


def speak(talk: ScribeTalk, turn: int, frames: int = 20, frame: bytes = FRAME) -> None:
    for _ in range(frames):
        talk.hear(turn, frame)


def read(talk: ScribeTalk, kind: str, **fields: Any) -> None:
    talk.read(json.dumps({"message_type": kind, **fields}))


def test_a_throttled_commit_is_answered_with_what_is_known() -> None:
    talk = ScribeTalk()
    speak(talk, 1)
    read(talk, "partial_transcript", text="Yes ")
    talk.commit(1)
    read(talk, "commit_throttled", error=".")
    assert list(talk.post.events) == [Transcript(1, "Yes", final=True)]
    assert talk.quiet()


def test_nothing_known_of_an_overdue_turn_ends_the_connection() -> None:
    talk = ScribeTalk()
    speak(talk, 1)
    talk.commit(1)
    talk.expire(1)
    assert isinstance(talk.post.fault, ProviderUnavailable)


def test_an_overdue_turn_keeps_its_place_before_the_next() -> None:
    talk = ScribeTalk()
    for turn in (1, 2):
        speak(talk, turn)
        read(talk, "partial_transcript", text="first") if turn == 1 else None
        talk.commit(turn)
    talk.expire(1)
    read(talk, "committed_transcript", text="first, late")
    read(talk, "committed_transcript", text="second")
    finals = [event for event in talk.post.events if isinstance(event, Transcript)]
    assert finals == [Transcript(1, "first", final=True), Transcript(2, "second", final=True)]


def test_the_dial_names_what_the_service_can_take() -> None:
    asked = list(query("scribe", "pt-BR", ["  Ana  ", "", "x" * 21]))
    assert asked[3:] == [("language_code", "pt"), ("keyterms", "Ana")]
    assert ("commit_strategy", "manual") in asked
