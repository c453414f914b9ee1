"""The protocol without a socket: what follows what, and what is not believed."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ApplianceError, QuotaExhausted, RateLimited
from appliance.frames import Frame
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    HistoryItem,
    ProviderCommand,
    ProviderEvent,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.conversation import Conversation
from appliance.providers.realtime.openai.settings import read
from appliance.providers.realtime.openai.wire import Malformed

LOUD = b"\x01\x02" * 480


class Wire:
    """A conversation with nothing at its other end."""

    def __init__(self, setup: Setup | None = None, **section: Any) -> None:
        self.talk = Conversation(read(section), setup or Setup("s1"))

    def take(self, *commands: ProviderCommand) -> list[dict[str, Any]]:
        """What these commands send."""
        for command in commands:
            self.talk.take(command)
        return self.sent()

    def read(self, kind: str, **fields: Any) -> list[ProviderEvent]:
        """What this event of the service tells."""
        self.talk.read(json.dumps({"type": kind, **fields}).encode())
        return self.told()

    def reads(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """What this event of the service sends."""
        self.talk.read(json.dumps({"type": kind, **fields}).encode())
        return self.sent()

    def ask(self, turn: int = 1, response: str = "r1") -> None:
        """A turn is typed, and its answer begins."""
        create = self.take(SendText(turn, "hello"))[-1]
        assert create["type"] == "response.create"
        self.begin(create, response)

    def begin(self, create: dict[str, Any], response: str = "r1") -> None:
        self.read("response.created", response={"id": response, "metadata": create["response"]["metadata"]})

    def done(self, response: str = "r1", status: str = "completed") -> list[ProviderEvent]:
        return self.read("response.done", response={"id": response, "status": status})

    def audio(self, pcm: bytes, response: str = "r1", item: str = "i1") -> list[ProviderEvent]:
        encoded = base64.b64encode(pcm).decode()
        return self.read("response.output_audio.delta", response_id=response, item_id=item, delta=encoded)

    def call(self, call_id: str, response: str = "r1", **more: Any) -> list[ProviderEvent]:
        fields = {"call_id": call_id, "name": "get_time", "arguments": "{}", **more}
        return self.read(
            "response.function_call_arguments.done", response_id=response, item_id=call_id, **fields
        )

    def sent(self) -> list[dict[str, Any]]:
        sent = [json.loads(text) for text in self.talk.mail.outgoing]
        self.talk.mail.outgoing.clear()
        return sent

    def told(self) -> list[ProviderEvent]:
        told = list(self.talk.mail.events)
        self.talk.mail.events.clear()
        return told


def frames(turn: int, count: int) -> list[SendAudio]:
    return [SendAudio(turn, Frame(LOUD, 24_000, 0.0))] * count


def kinds(sent: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in sent]


def troubles(told: list[ProviderEvent]) -> list[str]:
    return [event.code for event in told if isinstance(event, ProviderTrouble)]


# --- the wire ---


def test_an_append_is_the_json_that_an_encoder_would_write() -> None:
    assert json.loads(wire.append(LOUD)) == {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(LOUD).decode(),
    }


@pytest.mark.parametrize("text", ["plain", "\x00\u2028", "\ud800 lone", "\U0001f600", "x" * 30_000])
def test_any_text_can_be_sent(text: str) -> None:
    sent = wire.event("x", text=text).encode("utf-8")
    assert json.loads(sent)["text"] == text.replace("\ud800", "?")


@pytest.mark.parametrize("encoded", [None, 7, "A", "AA=A", "\u00e9", "AAAA AAAA", [], {}])
def test_what_is_no_base64_is_no_audio(encoded: object) -> None:
    with pytest.raises(Malformed):
        wire.pcm(encoded)


@pytest.mark.parametrize("value", [-1, 1e13, float("nan"), float("inf"), "7", True, []])
def test_a_senseless_number_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        wire.number({"n": value}, "n")


# --- turns ---


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


# --- responses ---


def test_a_response_that_the_service_is_too_busy_for_is_asked_for_again() -> None:
    there = Wire()
    create = there.take(SendText(1, "hello"))[-1]
    there.read("response.created", response={"id": "own", "metadata": {"request": "another's"}})
    busy = {"code": "conversation_already_has_active_response", "event_id": create["event_id"]}
    assert there.reads("error", error=busy) == []
    again = there.reads("response.done", response={"id": "own", "status": "completed"})
    assert kinds(again) == ["response.create"]


def test_a_busy_service_whose_response_is_unknown_is_waited_for() -> None:
    there = Wire()
    create = there.take(SendText(1, "hello"))[-1]
    busy = {"code": "conversation_already_has_active_response", "event_id": create["event_id"]}
    assert there.reads("error", error=busy) == []
    again = there.reads("response.done", response={"id": "unknown", "status": "completed"})
    assert kinds(again) == ["response.create"]
    assert again[0]["response"]["metadata"]["turn"] == "1"


def test_a_refused_response_leaves_nobody_waiting() -> None:
    there = Wire()
    create = there.take(SendText(1, "hello"))[-1]
    there.talk.mail.events.clear()
    told = there.read("error", error={"code": "invalid_value", "event_id": create["event_id"]})
    assert [one.status for one in told if isinstance(one, ResponseFinished)] == ["failed"]
    assert kinds(there.take(SendText(2, "hello"))) == ["conversation.item.create", "response.create"]


def test_text_stands_where_the_sound_has_come_to() -> None:
    there = Wire()
    there.ask()
    place = {"response_id": "r1", "item_id": "i1"}
    kind = "response.output_audio_transcript"
    assert there.read(f"{kind}.delta", **place, delta="One ") == [ResponseText("r1", "One ", 0.0)]
    there.audio(LOUD)
    assert there.read(f"{kind}.delta", **place, delta="two") == [ResponseText("r1", "two", 20.0)]
    assert there.read(f"{kind}.done", **place, transcript="One two three") == [
        ResponseText("r1", " three", 20.0)
    ]
    assert there.read(f"{kind}.done", **place, transcript="Something else") == []


def test_half_a_sample_waits_for_its_other_half() -> None:
    there = Wire()
    there.ask()
    told = there.audio(LOUD + b"\x01")
    assert troubles(told) == ["odd_audio"]
    assert told[-1] == ResponseAudio("r1", LOUD, 24_000)
    assert there.audio(b"\x02" + LOUD)[-1] == ResponseAudio("r1", b"\x01\x02" + LOUD, 24_000)


def test_several_items_are_cut_where_the_hearing_ended() -> None:
    there = Wire()
    there.ask()
    for item in ("i1", "i2", "i3"):
        there.audio(LOUD * 5, item=item)
    there.done()
    cuts = there.take(CancelResponse("r1", "", 130))
    assert [(cut["item_id"], cut["audio_end_ms"]) for cut in cuts] == [("i1", 100), ("i2", 30), ("i3", 0)]


def test_nothing_is_cut_of_an_answer_without_a_sound() -> None:
    there = Wire()
    there.ask()
    assert kinds(there.take(CancelResponse("r1", "", 0))) == ["response.cancel"]
    told = there.done(status="cancelled")
    assert told == [ResponseFinished("r1", 1, "cancelled")]


def test_a_late_cancel_is_no_trouble() -> None:
    there = Wire()
    there.ask()
    cancel = there.take(CancelResponse("r1", "", 0))[0]
    error = {"code": "response_cancel_not_active", "event_id": cancel["event_id"]}
    assert there.read("error", error=error) == []
    assert there.talk.fault is None


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ({"status": "completed"}, "silent"),
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "incomplete", "status_details": {"reason": "content_filter"}}, "failed"),
        ({"status": 7, "usage": []}, "silent"),
        ({}, "silent"),
    ],
)
def test_an_answer_of_nothing_ends_with_a_status(response: dict[str, Any], status: str) -> None:
    there = Wire()
    there.ask()
    told = there.read("response.done", response={"id": "r1", **response})
    assert told[-1] == ResponseFinished("r1", 1, status)
    assert there.done() == []


@pytest.mark.parametrize("details", [None, "odd", {"error": {"code": "server_error"}}, {"error": 7}])
def test_a_failed_answer_of_nothing_is_asked_for_once_more(details: Any) -> None:
    there = Wire()
    there.ask()
    failed = {"id": "r1", "status": "failed", "status_details": details}
    assert kinds(there.reads("response.done", response=failed)) == ["response.create"]
    assert troubles(there.told()) == ["response_failed"]
    assert there.read("response.created", response={"id": "r2"}) == []
    assert [type(one) for one in there.audio(LOUD, "r2")] == [ResponseAudio]
    assert there.take(CancelResponse("r1", "", 0))[0]["response_id"] == "r2"
    assert there.done("r2", "cancelled") == [ResponseFinished("r1", 1, "cancelled")]


def test_a_model_that_fails_twice_is_told() -> None:
    there = Wire()
    there.ask()
    assert troubles(there.done(status="failed")) == ["response_failed"]
    there.read("response.created", response={"id": "r2"})
    assert there.done("r2", "failed")[-1] == ResponseFinished("r1", 1, "failed")
    assert there.sent()[-1]["type"] == "response.create"


def test_a_second_try_that_is_refused_is_told() -> None:
    there = Wire()
    there.ask()
    again = there.reads("response.done", response={"id": "r1", "status": "failed"})[-1]
    error = {"type": "invalid_request_error", "code": "odd", "event_id": again["event_id"]}
    assert there.read("error", error=error)[-1] == ResponseFinished("r1", 1, "failed")


def test_of_a_failed_answer_that_had_begun_nothing_is_asked_for_again() -> None:
    there = Wire()
    there.ask()
    there.audio(LOUD)
    assert there.done(status="failed")[-1] == ResponseFinished("r1", 1, "failed")
    assert there.sent() == []


def test_a_person_who_goes_on_is_answered_and_the_failed_answer_is_over() -> None:
    there = Wire()
    there.ask()
    error = {"code": "conversation_already_has_active_response"}
    again = there.reads("response.done", response={"id": "r1", "status": "failed"})[-1]
    there.take(SendText(2, "and this"))
    there.read("error", error={**error, "event_id": again["event_id"]})
    create = there.reads("response.done", response={"id": "unknown"})[-1]
    told = there.read("response.created", response={"id": "r2", "metadata": create["response"]["metadata"]})
    assert told == [ResponseFinished("r1", 1, "cancelled"), ResponseStarted("r2", 2)]


@pytest.mark.parametrize(
    ("error", "becomes", "retry_after"),
    [
        ({"code": "rate_limit_exceeded", "message": "Please try again in 8.2s."}, RateLimited, 8.2),
        ({"code": "rate_limit_exceeded", "message": "Please try again in 250ms."}, RateLimited, 0.25),
        ({"type": "rate_limit_error"}, RateLimited, None),
        ({"code": "insufficient_quota"}, QuotaExhausted, None),
    ],
)
def test_what_the_next_connection_can_answer_is_not_told_to_be_over(
    error: dict[str, Any], becomes: type[ApplianceError], retry_after: float | None
) -> None:
    there = Wire()
    there.ask()
    failed = {"id": "r1", "status": "failed", "status_details": {"error": error}}
    assert troubles(there.read("response.done", response=failed)) == ["response_failed"]
    assert type(there.talk.fault) is becomes
    assert getattr(there.talk.fault, "retry_after", None) == retry_after
    refused = Wire()
    create = refused.take(SendText(1, "hello"))[-1]
    assert troubles(refused.read("error", error={**error, "event_id": create["event_id"]}))
    assert type(refused.talk.fault) is becomes
    assert refused.told() == []


@pytest.mark.parametrize("usage", [{"input_tokens": -1}, {"output_tokens": 1e300}, {"input_tokens": "x"}])
def test_absurd_usage_is_not_believed(usage: dict[str, Any]) -> None:
    there = Wire()
    there.ask()
    told = there.read("response.done", response={"id": "r1", "usage": usage})
    assert troubles(told) == ["invalid_number"]
    assert not [one for one in told if isinstance(one, ProviderUsage)]


# --- tools ---


def test_a_call_is_told_once_however_often_it_comes() -> None:
    there = Wire()
    there.ask()
    assert there.call("c1") == [ToolCall("c1", "get_time", "{}", 1)]
    item = {"type": "function_call", "call_id": "c1", "name": "get_time", "arguments": "{}"}
    assert there.read("response.output_item.done", response_id="r1", item=item) == []


def test_a_call_without_a_name_waits_for_its_item() -> None:
    there = Wire()
    there.ask()
    assert there.call("c1", name=None) == []
    item = {"type": "function_call", "call_id": "c1", "name": "get_time", "arguments": "{"}
    assert there.read("response.output_item.done", response_id="r1", item=item) == [
        ToolCall("c1", "get_time", "{", 1)
    ]


def test_a_call_that_comes_after_the_cancel_is_settled_here() -> None:
    there = Wire()
    there.ask()
    there.take(CancelResponse("r1", "", 0))
    there.talk.mail.events.clear()
    assert there.call("c1") == []
    assert kinds([json.loads(text) for text in there.talk.mail.outgoing]) == ["conversation.item.create"]


def test_an_interrupting_result_does_not_wait_for_its_batch() -> None:
    there = Wire()
    there.ask()
    there.call("c1")
    there.call("c2")
    there.done()
    assert kinds(there.take(ToolResult("c1", {}))) == ["conversation.item.create"]
    sent = there.take(ToolResult("c2", {}, delivery=Delivery.INTERRUPT))
    assert kinds(sent) == ["conversation.item.create", "response.create"]


def test_results_that_came_before_the_batch_was_whole_wait_for_the_end_of_the_response() -> None:
    there = Wire()
    there.ask()
    there.call("c1")
    assert kinds(there.take(ToolResult("c1", {}))) == ["conversation.item.create"]
    there.call("c2")
    assert there.reads("response.done", response={"id": "r1"}) == []
    assert kinds(there.take(ToolResult("c2", {}))) == ["conversation.item.create", "response.create"]


def test_the_pending_calls_of_the_history_are_a_batch() -> None:
    history: list[HistoryItem | CalledTool] = [
        HistoryItem("user", "x"),
        CalledTool("c1", "t", "{}", turn=3),
        CalledTool("c2", "t", "{}", turn=3),
    ]
    there = Wire(Setup("s1", history=history))
    assert kinds(there.take(ToolResult("c2", {}))) == ["conversation.item.create"]
    sent = there.take(ToolResult("c1", {}))
    assert kinds(sent) == ["conversation.item.create", "response.create"]
    there.begin(sent[-1], "r5")
    assert there.done("r5")[-1] == ResponseFinished("r5", 3, "silent")


# --- anything at all ---

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
