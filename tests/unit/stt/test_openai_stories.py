"""The protocol of OpenAI's transcription, in whatever order things happen."""

import base64
import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.stt.openai_talk import OpenAiTalk
from appliance.stages import Transcript, TranscriptEvent
from tests.unit.stt.openai_words import FRAME, PREFIX


class Service:
    """Answers what the talk sends; an item reads as the number of its commit."""

    def __init__(self, talk: OpenAiTalk) -> None:
        self.talk = talk
        self.commits = 0
        self.owed: list[str] = []
        self.told: deque[dict[str, Any]] = deque()
        self.samples = 0

    def listen(self) -> None:
        while self.talk.post.outgoing:
            event = json.loads(self.talk.post.outgoing.popleft())
            match event["type"]:
                case "input_audio_buffer.append":
                    self.samples += len(base64.b64decode(event["audio"])) // 2
                case "input_audio_buffer.commit":
                    assert self.samples >= 2_400, "a commit that the service refuses"
                    self.samples = 0
                    self.commits += 1
                    item = f"item_{self.commits}"
                    self.owed.append(item)
                    self.told.append({"type": "input_audio_buffer.committed", "item_id": item})
                case "input_audio_buffer.clear":
                    self.samples = 0
                    self.told.append({"type": "input_audio_buffer.cleared"})

    def tell(self) -> None:
        while self.told:
            self.talk.read(json.dumps(self.told.popleft()))

    def complete(self, place: int) -> None:
        self.tell()
        if self.owed:
            item = self.owed.pop(place % len(self.owed))
            self.talk.read(json.dumps({"type": f"{PREFIX}.completed", "item_id": item, "transcript": item}))


ACTS = st.one_of(
    st.tuples(st.just("hear"), st.integers(1, 12)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("discard"), st.integers(0, 3)),
    st.tuples(st.just("tell"), st.just(0)),
    st.tuples(st.just("complete"), st.integers(0, 5)),
    st.tuples(st.just("expire"), st.just(0)),
    st.tuples(st.just("junk"), st.integers(0, 20)),
)
JUNK: tuple[str | bytes, ...] = (
    "",
    "{",
    "[]",
    "null",
    b"\xff",
    "[" * 3_000,
    '{"type": 1}',
    '{"type": "error"}',
    '{"type": "error", "error": {"code": "odd", "event_id": "commit_x"}}',
    '{"type": "something.new", "x": 1}',
    '{"type": "session.updated", "session": {"expires_at": "soon"}}',
    '{"type": "input_audio_buffer.cleared_", "item_id": null}',
    *(
        json.dumps({"type": f"{PREFIX}.{kind}", "item_id": item, "delta": 7, "transcript": None, "error": []})
        for kind in ("delta", "completed", "failed", "segment")
        for item in (None, "", "item_of_old")
    ),
)


@pytest.mark.slow
@given(acts=st.lists(ACTS, max_size=60))
def test_each_committed_turn_has_one_final_transcript_and_discarded_ones_none(
    acts: list[tuple[str, int]],
) -> None:
    talk = OpenAiTalk(server_turns=False)
    service = Service(talk)
    turn, committed, discarded = 1, [], set()
    told: list[TranscriptEvent] = []
    for act, number in acts:
        match act:
            case "hear":
                for _ in range(number):
                    talk.hear(turn, FRAME)
            case "commit":
                talk.commit(turn)
                committed.append(turn)
                turn += 1
            case "discard":
                talk.discard(max(1, turn - number))
                discarded.add(max(1, turn - number))
                turn += number == 0
            case "tell":
                service.tell()
            case "complete":
                service.complete(number)
            case "expire":
                for overdue in sorted(talk.post.awaited):
                    talk.expire(overdue)
                if talk.post.fault is not None:
                    return
            case _:
                talk.read(JUNK[number % len(JUNK)])
        service.listen()
        new = list(talk.post.events)
        talk.post.events.clear()
        told += new
    while service.owed or service.told:
        service.complete(0)
    told += talk.post.events
    finals = [event.turn for event in told if isinstance(event, Transcript) and event.final]
    assert len(finals) == len(set(finals))
    assert set(finals) >= set(committed) - discarded
    assert set(finals) <= set(committed)
    assert not talk.post.awaited
    # The number of a commit is that of the turns with enough sound in them: transcripts keep their order.
    finals_with_text = [
        event for event in told if isinstance(event, Transcript) and event.final and event.text
    ]
    places = [(event.turn, int(event.text.removeprefix("item_"))) for event in finals_with_text]
    assert sorted(places) == sorted(places, key=lambda pair: pair[1])
