"""The protocol of OpenAI's transcription, in whatever order things happen."""

import base64
import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.openai_faults import of_answer, of_setup
from appliance.providers.stt.openai_session import session_update
from appliance.providers.stt.openai_talk import OpenAiTalk
from appliance.stages import Ended, Spent, Transcript, TranscriptEvent

FRAME = bytes(640)
PREFIX = "conversation.item.input_audio_transcription"


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


def said(talk: OpenAiTalk) -> list[TranscriptEvent]:
    return list(talk.post.events)


def speak(talk: OpenAiTalk, turn: int, frames: int = 10) -> None:
    for _ in range(frames):
        talk.hear(turn, FRAME)


def read(talk: OpenAiTalk, kind: str, **fields: Any) -> None:
    talk.read(json.dumps({"type": kind, **fields}))


def test_words_before_the_commit_are_of_the_turn_that_is_spoken() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="it is")
    assert said(talk) == [Transcript(1, "it is", final=False)]
    talk.commit(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="a", delta=" noon")
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, f"{PREFIX}.delta", item_id="b", delta="thanks")
    read(
        talk,
        f"{PREFIX}.completed",
        item_id="a",
        transcript="It is noon.",
        usage={"type": "duration", "seconds": 2},
    )
    assert said(talk) == [
        Transcript(1, "it is noon", final=False),
        Transcript(2, "thanks", final=False),
        Spent(2.0),
        Transcript(1, "It is noon.", final=True),
    ]


def test_words_of_a_turn_that_was_none_are_not_told() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.discard(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="cough")
    read(talk, "input_audio_buffer.cleared")
    read(talk, f"{PREFIX}.delta", item_id="b", delta="yes")
    assert said(talk) == [Transcript(2, "yes", final=False)]


def test_a_name_that_the_service_uses_again_is_of_the_turn_that_it_commits() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="cough")
    talk.discard(1)
    read(talk, "input_audio_buffer.cleared")
    talk.post.events.clear()
    speak(talk, 2)
    talk.commit(2)
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, f"{PREFIX}.completed", item_id="a", transcript="Yes.")
    assert said(talk)[-1] == Transcript(2, "Yes.", final=True)


def test_a_refused_commit_is_answered_with_what_is_known() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert said(talk) == [Transcript(1, "", final=True)]
    assert talk.post.fault is None


def test_after_a_refused_commit_the_next_transcript_is_of_the_next_turn() -> None:
    talk = OpenAiTalk(server_turns=False)
    for turn in (1, 2):
        speak(talk, turn)
        talk.commit(turn)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    read(talk, "input_audio_buffer.committed", item_id="b")
    read(talk, f"{PREFIX}.completed", item_id="b", transcript="Yes.")
    finals = [event for event in said(talk) if isinstance(event, Transcript)]
    assert finals == [Transcript(1, "", final=True), Transcript(2, "Yes.", final=True)]


def test_nothing_is_told_of_a_refused_commit_of_a_turn_that_was_none() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    talk.discard(1)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert said(talk) == []


def test_two_names_before_any_commit_are_of_two_turns() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="one")
    talk.commit(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="b", delta="two")
    assert said(talk) == [Transcript(1, "one", final=False), Transcript(2, "two", final=False)]


def sent(talk: OpenAiTalk) -> list[str]:
    """The types of what was sent since the last time, without the audio."""
    kinds = [json.loads(text)["type"].removeprefix("input_audio_buffer.") for text in talk.post.outgoing]
    talk.post.outgoing.clear()
    return [kind for kind in kinds if kind != "append"]


def end(talk: OpenAiTalk, item: str) -> None:
    """The service finds the end of what is said."""
    read(talk, "input_audio_buffer.speech_started", item_id=item)
    read(talk, "input_audio_buffer.speech_stopped", item_id=item)
    read(talk, "input_audio_buffer.committed", item_id=item)


def complete(talk: OpenAiTalk, item: str, text: str) -> None:
    read(talk, f"{PREFIX}.completed", item_id=item, transcript=text)


def finals(talk: OpenAiTalk) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in said(talk) if isinstance(event, Transcript) and event.final]


def test_the_service_ends_a_turn_and_who_commits_it_is_answered_at_once() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    end(talk, "a")
    speak(talk, 1)
    complete(talk, "a", "Yes.")
    assert said(talk)[-2:] == [Transcript(1, "Yes.", final=True), Ended(1)]
    talk.commit(1)
    assert finals(talk) == [(1, "Yes.")] * 2
    assert sent(talk) == ["clear"], "the silence after it is nobody's"
    speak(talk, 2)
    talk.commit(2)
    assert sent(talk) == ["commit"]
    assert talk.post.awaited == {2}


def test_who_goes_on_after_a_pause_that_the_service_took_for_the_end_loses_no_word() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    end(talk, "a")
    complete(talk, "a", "Call")
    speak(talk, 1)
    end(talk, "b")
    complete(talk, "b", "nine")
    assert [event for event in said(talk) if isinstance(event, Ended)] == [Ended(1)] * 2
    speak(talk, 1)
    read(talk, "input_audio_buffer.speech_started", item_id="c")
    talk.commit(1)
    assert sent(talk) == ["commit"]
    read(talk, "input_audio_buffer.committed", item_id="c")
    complete(talk, "c", "four.")
    assert finals(talk) == [(1, "Call"), (1, "Call nine"), (1, "Call nine four.")]
    assert not talk.post.awaited


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_turn_that_the_service_splits_as_it_is_committed_is_read_whole(order: tuple[str, str]) -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1, frames=60)
    read(talk, "input_audio_buffer.speech_started", item_id="a")
    talk.commit(1)
    speak(talk, 2)
    talk.commit(2)
    read(talk, "input_audio_buffer.speech_stopped", item_id="a")
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, "input_audio_buffer.committed", item_id="b")
    read(talk, "input_audio_buffer.committed", item_id="c")
    texts = {"a": "Call nine", "b": "and then four."}
    for item in order:
        complete(talk, item, texts[item])
    complete(talk, "c", "Thanks.")
    assert finals(talk) == [(1, "Call nine and then four."), (2, "Thanks.")]
    assert not talk.post.awaited
    assert not talk.post.counts


def test_a_turn_that_the_service_ended_whole_as_it_was_committed_is_read_once() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    talk.commit(1)
    end(talk, "a")
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert finals(talk) == []
    complete(talk, "a", "Yes.")
    assert finals(talk) == [(1, "Yes.")]
    assert not talk.post.awaited


def test_a_service_that_tells_no_speech_is_committed_to_all_the_same() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    read(talk, "input_audio_buffer.committed", item_id="a")
    complete(talk, "a", "Call")
    speak(talk, 1)
    talk.commit(1)
    assert sent(talk) == ["commit"]
    read(talk, "input_audio_buffer.committed", item_id="b")
    complete(talk, "b", "nine.")
    assert finals(talk) == [(1, "Call"), (1, "Call nine.")]


def test_nothing_known_of_an_overdue_turn_ends_the_connection() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    talk.expire(1)
    assert isinstance(talk.post.fault, ProviderUnavailable)


def test_half_a_sample_is_cut_off() -> None:
    talk = OpenAiTalk(server_turns=False)
    talk.hear(1, b"\x01" * 641)
    assert talk.post.counts["odd_audio"] == 1


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ({"code": "insufficient_quota"}, QuotaExhausted),
        ({"code": "rate_limit_exceeded"}, RateLimited),
        ({"code": "session_expired"}, ProviderUnavailable),
        ({"type": "authentication_error"}, CredentialsRejected),
        ({"type": "server_error", "code": None}, ProviderUnavailable),
        ({"type": "invalid_request_error", "code": "model_not_found"}, SetupRejected),
        ({}, SetupRejected),
    ],
)
def test_what_an_error_during_set_up_means(error: dict[str, Any], meaning: type[ApplianceError]) -> None:
    assert type(of_setup(error)) is meaning


def test_an_error_about_one_event_is_survived() -> None:
    assert of_answer({"type": "invalid_request_error", "code": "invalid_value"}) is None


def test_keywords_are_told_to_models_that_take_them() -> None:
    def told(model: str) -> Any:
        update = json.loads(session_update(model, "de-AT", ["Gugelhupf"], server_turns=True))
        return update["session"]["audio"]["input"]

    assert told("gpt-transcribe")["transcription"] == {
        "model": "gpt-transcribe",
        "language": "de",
        "keywords": ["Gugelhupf"],
    }
    assert told("whisper-1")["transcription"] == {"model": "whisper-1", "language": "de"}
    assert told("gpt-transcribe")["turn_detection"] == {"type": "server_vad"}
