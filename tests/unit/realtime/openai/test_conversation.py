"""The protocol without a socket: turns, and whatever the service may say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.frames import Frame
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    DiscardTurn,
    ResponseFinished,
    SendAudio,
    Setup,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.openai.conversation import Conversation
from appliance.providers.realtime.openai.settings import read
from tests.unit.realtime.openai.exchange import LOUD, Wire, frames, kinds, troubles


def test_a_turn_is_committed_and_then_asked_for() -> None:
    there = Wire()
    sent = there.take(*frames(7, 10), CommitTurn(7))
    assert kinds(sent[-2:]) == ["input_audio_buffer.commit", "response.create"]
    assert len(sent) == 12
    there.read("input_audio_buffer.committed", item_id="u1")
    assert there.read(
        "conversation.item.input_audio_transcription.completed", item_id="u1", transcript="hi"
    ) == [UserHeard(7, "hi", final=True)]


def test_transcripts_find_their_turns_in_any_order() -> None:
    there = Wire()
    for turn in (1, 2):
        there.take(*frames(turn, 10), CommitTurn(turn))
        there.read("input_audio_buffer.committed", item_id=f"u{turn}")
    kind = "conversation.item.input_audio_transcription.completed"
    assert there.read(kind, item_id="u2", transcript="two") == [UserHeard(2, "two", final=True)]
    assert there.read(kind, item_id="u1", transcript="one") == [UserHeard(1, "one", final=True)]
    assert there.read(kind, item_id="u1", transcript="again") == []
    assert there.read(kind, item_id="u9", transcript="nobody") == []


def test_a_transcription_that_fails_is_told_as_nothing_understood() -> None:
    there = Wire()
    there.take(*frames(1, 10), CommitTurn(1))
    there.read("input_audio_buffer.committed", item_id="u1")
    told = there.read("conversation.item.input_audio_transcription.failed", item_id="u1", error={})
    assert told[-1] == UserHeard(1, "", final=True)
    assert troubles(told) == ["transcription_failed"]


def test_a_commit_that_the_service_finds_empty_is_a_silent_turn() -> None:
    there = Wire()
    there.ask(1)
    commit = there.take(*frames(2, 10), CommitTurn(2))[-1]
    error = {"code": "input_audio_buffer_commit_empty", "event_id": commit["event_id"]}
    told = there.read("error", error=error)
    assert told[0] == UserHeard(2, "", final=True)
    assert [one.status for one in told if isinstance(one, ResponseFinished)] == ["silent"]
    assert there.reads("response.done", response={"id": "r1", "status": "completed"}) == []


def test_audio_at_another_rate_is_not_sent() -> None:
    there = Wire()
    assert there.take(SendAudio(1, Frame(LOUD, 16_000, 0.0))) == []
    assert troubles(list(there.talk.mail.events)) == ["wrong_rate"]


def test_a_discard_of_another_turn_clears_nothing() -> None:
    there = Wire()
    assert "input_audio_buffer.clear" not in kinds(there.take(*frames(2, 3), DiscardTurn(1)))
    assert kinds(there.take(DiscardTurn(2))) == ["input_audio_buffer.clear"]


def test_items_of_a_turn_that_the_service_ends_twice_read_as_one() -> None:
    there = Wire(turns="server")
    there.take(*frames(1, 10))
    assert there.read("input_audio_buffer.committed", item_id="u1") == [TurnEnded(1)]
    there.take(*frames(1, 10))
    assert there.read("input_audio_buffer.committed", item_id="u2") == [TurnEnded(1)]
    kind = "conversation.item.input_audio_transcription.completed"
    assert there.read(kind, item_id="u1", transcript="one") == [UserHeard(1, "one", final=False)]
    assert there.read(kind, item_id="u2", transcript="two") == [UserHeard(1, "one two", final=True)]


def test_silence_is_wanted_until_the_person_goes_on() -> None:
    there = Wire(turns="semantic")
    filling = []
    for commands in ([*frames(1, 10), CommitTurn(1)], frames(2, 1)):
        there.take(*commands)
        filling.append(there.talk.filling)
    assert filling == [1, None]
    assert there.read("input_audio_buffer.committed", item_id="u1") == [TurnEnded(2)]


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e300, float("nan"), "", "x", "r1", "i1", "c1", "AAAA", "A", [], [1], {}, {"id": "r1"},
    {"id": []}, {"event_id": {}, "code": "x"}, {"type": "function_call", "call_id": "c1"},
    {"id": "r2", "metadata": []}, {"id": "r1", "status": [], "usage": {"input_tokens": []}},
)  # fmt: skip
FIELDS = (
    "response", "item_id", "response_id", "delta", "transcript", "text", "session", "error", "item", "call_id",
    "name", "arguments", "usage", "audio_end_ms",
)  # fmt: skip
KINDS = sorted(Conversation(read({}), Setup("s1")).heeded)


@pytest.mark.slow
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD), max_size=6))
def test_no_event_breaks_the_conversation(kind: str, fields: dict[str, Any]) -> None:
    there = Wire(turns="server")
    there.ask(2)
    there.take(*frames(1, 6))
    there.read(kind, **fields)
    there.take(CommitTurn(1), CancelResponse("r1", "x", 10), ToolResult("c1", {}))
    assert there.talk.mail.counters() is not None


@given(st.binary(max_size=64))
def test_no_bytes_break_the_conversation(raw: bytes) -> None:
    there = Wire()
    there.talk.read(raw)
    assert troubles(list(there.talk.mail.events))
