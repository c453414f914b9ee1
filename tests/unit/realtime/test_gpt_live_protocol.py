"""GPT-Live knows no responses: they are made from its sound, and end with a pause."""

import base64
import json
from typing import Any

import pytest

from appliance.errors import CredentialsRejected, ProviderUnavailable, QuotaExhausted
from appliance.interfaces import (
    CalledTool,
    Delivery,
    HistoryItem,
    ProviderEvent,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    Setup,
    ToolCall,
    ToolDeclaration,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.gpt_live.protocol import LiveProtocol
from appliance.providers.realtime.gpt_live.setup import start_message


def sound(milliseconds: int = 40, value: int = 900) -> dict[str, Any]:
    pcm = value.to_bytes(2, "little", signed=True) * (16 * milliseconds)
    return {"type": "session.output_audio.delta", "delta": base64.b64encode(pcm).decode()}


def call(call_id: str, delegation: str = "d1", arguments: str = "{}") -> dict[str, Any]:
    item = {"type": "function_call", "call_id": call_id, "name": "get_time", "arguments": arguments}
    event = {"type": "response.output_item.done", "item": item}
    return {"type": "response.event", "delegation_id": delegation, "event": event}


def completed(delegation: str = "d1") -> dict[str, Any]:
    return {"type": "response.event", "delegation_id": delegation, "event": {"type": "response.completed"}}


def events(protocol: LiveProtocol, message: dict[str, Any], now: float = 0.0) -> list[ProviderEvent]:
    return protocol.take(message, now)[0]


def kinds(given: list[ProviderEvent]) -> list[str]:
    return [type(one).__name__ for one in given]


def test_the_first_sound_begins_a_response_for_the_newest_turn():
    protocol = LiveProtocol()
    protocol.begin_turn(3)
    protocol.end_turn(3, 0.0)
    begun, audio = events(protocol, sound())
    assert begun == ResponseStarted("g1", 3)
    assert isinstance(audio, ResponseAudio)
    assert len(audio.pcm) == 1280


def test_sound_goes_on_through_a_short_pause():
    protocol = LiveProtocol()
    events(protocol, sound(), 0.0)
    assert kinds(events(protocol, sound(value=0, milliseconds=400), 0.4)) == ["ResponseAudio"]
    assert kinds(events(protocol, sound(), 0.5)) == ["ResponseAudio"]


def test_silence_that_is_sent_ends_a_response():
    protocol = LiveProtocol()
    events(protocol, sound(), 0.0)
    assert kinds(events(protocol, sound(value=0, milliseconds=700), 0.7)) == ["ResponseFinished"]
    assert kinds(events(protocol, sound(value=0), 0.8)) == []


def test_nothing_sent_ends_a_response_too():
    protocol = LiveProtocol()
    events(protocol, sound(), 10.0)
    assert protocol.tick(10.3) == []
    assert protocol.tick(10.7) == [ResponseFinished("g1", 0)]
    assert not protocol.speaking


def test_a_cancelled_response_is_dropped_until_it_pauses():
    protocol = LiveProtocol()
    events(protocol, sound(), 0.0)
    assert protocol.cancel("g1") == [ResponseFinished("g1", 0, "cancelled")]
    assert protocol.cancel("g1") == []
    assert events(protocol, sound(), 0.04) == []
    protocol.begin_turn(1)
    protocol.end_turn(1, 0.4)
    assert kinds(events(protocol, sound(), 0.5)) == ["ResponseStarted", "ResponseAudio"]


def test_a_model_that_begins_to_answer_has_ended_the_turn():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    assert events(protocol, sound())[:2] == [TurnEnded(1), ResponseStarted("g1", 1)]


def test_a_cancel_of_what_is_over_is_harmless():
    assert LiveProtocol().cancel("g7") == []


def test_text_is_placed_where_the_sound_has_come_to():
    protocol = LiveProtocol()
    events(protocol, sound(milliseconds=120))
    said = {"type": "session.output_transcript.delta", "delta": "Hello ", "start_ms": 0, "end_ms": 9}
    assert events(protocol, said) == [ResponseText("g1", "Hello ", 120.0)]


def test_what_was_understood_grows_and_is_final_with_the_answer():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    for piece, sum_ in (("what ", "what"), ("time", "what time")):
        delta = {"type": "session.input_transcript.delta", "delta": piece}
        assert events(protocol, delta) == [UserHeard(1, sum_, final=False)]
    events(protocol, sound(), 0.0)
    assert protocol.tick(1.0) == [UserHeard(1, "what time", final=True), ResponseFinished("g1", 1)]


def test_a_new_turn_settles_what_was_understood_of_the_one_before():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    events(protocol, {"type": "session.input_transcript.delta", "delta": "hm"})
    assert protocol.begin_turn(2) == [UserHeard(1, "hm", final=True)]


def test_the_backend_goes_on_when_each_of_its_calls_has_its_result():
    protocol = LiveProtocol()
    assert events(protocol, call("a")) == [ToolCall("a", "get_time", "{}", 0)]
    events(protocol, call("b"))
    first = protocol.result(ToolResult("a", {"time": "noon"}))
    assert [one["type"] for one in first] == ["response.item.create"]
    assert protocol.take(completed(), 0.0) == ([], [])
    last = protocol.result(ToolResult("b", error="no"))
    assert [one["type"] for one in last] == ["response.item.create", "response.create"]
    assert json.loads(last[0]["item"]["output"]) == {"error": "no"}


def test_a_result_that_is_ready_before_the_backend_is_waits_for_it():
    protocol = LiveProtocol()
    events(protocol, call("a"))
    protocol.result(ToolResult("a"))
    assert protocol.take(completed(), 0.0) == ([], [{"type": "response.create"}])


def test_a_call_is_told_once_and_answered_once():
    protocol = LiveProtocol()
    events(protocol, call("a"))
    assert events(protocol, call("a")) == []
    assert protocol.result(ToolResult("a")) != []
    assert protocol.result(ToolResult("a")) == []


def test_a_silent_result_asks_for_nothing():
    protocol = LiveProtocol()
    events(protocol, call("a"))
    protocol.take(completed(), 0.0)
    sent = protocol.result(ToolResult("a", delivery=Delivery.SILENT))
    assert [one["type"] for one in sent] == ["response.item.create"]


def test_the_result_of_a_call_over_an_earlier_connection_is_told_aloud():
    protocol = LiveProtocol([CalledTool("old", "get_time", "{}")])
    (sent,) = protocol.result(ToolResult("old", {"time": "noon"}))
    assert sent["type"] == "session.commentary.append"
    assert "noon" in sent["content"]
    assert protocol.result(ToolResult("old")) == []


def test_a_turn_that_the_model_does_not_answer_is_settled():
    protocol = LiveProtocol()
    protocol.begin_turn(4)
    protocol.end_turn(4, 10.0)
    assert protocol.tick(15.0) == []
    assert protocol.tick(16.1) == [
        UserHeard(4, "", final=True),
        ResponseStarted("g1", 4),
        ResponseFinished("g1", 4, "silent"),
    ]
    assert protocol.tick(60.0) == []


def test_a_turn_that_was_answered_before_we_found_its_end_is_not_waited_for():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    assert kinds(events(protocol, sound(), 0.0)) == ["TurnEnded", "ResponseStarted", "ResponseAudio"]
    events(protocol, sound(value=0, milliseconds=700), 0.7)
    assert protocol.end_turn(1, 0.8) == []
    protocol.begin_turn(2)
    assert protocol.tick(60.0) == []


def test_an_answer_is_waited_for_while_a_tool_runs():
    protocol = LiveProtocol()
    protocol.end_turn(1, 0.0)
    events(protocol, call("a"))
    assert protocol.tick(30.0) == []


def test_usage_is_what_was_added():
    protocol = LiveProtocol()
    spent = [events(protocol, {"type": "session.usage.updated", "usage": {"seconds": n}}) for n in (3, 5, 5)]
    assert spent == [[ProviderUsage(3, 0.0, "seconds")], [ProviderUsage(2.0, 0.0, "seconds")], []]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": 7},
        {"type": "conversation.item.added"},
        {"type": "session.output_audio.delta"},
        {"type": "session.output_audio.delta", "delta": "***"},
        {"type": "session.output_audio.delta", "delta": "AAAA"},
        {"type": "error"},
        {"type": "error", "error": {"code": "unknown_parameter"}},
    ],
)
def test_what_makes_no_sense_is_told_and_the_talk_goes_on(message: dict[str, Any]):
    assert kinds(events(LiveProtocol(), message)) == [ProviderTrouble.__name__]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "session.usage.updated", "usage": {"seconds": float("nan")}},
        {"type": "session.usage.updated", "usage": {"seconds": -4}},
        {"type": "session.usage.updated", "usage": {"seconds": float("inf")}},
        {"type": "session.usage.updated", "usage": {"seconds": 10**400}},
        {"type": "session.output_transcript.delta", "delta": None},
        {"type": "session.input_transcript.delta", "delta": 4},
        {"type": "response.event", "event": None},
        {
            "type": "response.event",
            "event": {"type": "response.output_item.done", "item": {"type": "message"}},
        },
        {"type": "session.delegation.created", "delegation": None},
        {"type": "session.something_new"},
    ],
)
def test_what_says_nothing_is_passed_over(message: dict[str, Any]):
    assert LiveProtocol().take(message, 0.0) == ([], [])


def test_the_end_of_the_session_is_a_disconnect():
    with pytest.raises(ProviderUnavailable, match="expired"):
        events(LiveProtocol(), {"type": "session.closed", "reason": "expired"})


@pytest.mark.parametrize(
    ("code", "kind"), [("insufficient_quota", QuotaExhausted), ("invalid_api_key", CredentialsRejected)]
)
def test_a_refusal_ends_the_connection_with_its_reason(code: str, kind: type[Exception]):
    with pytest.raises(kind):
        events(LiveProtocol(), {"type": "error", "error": {"code": code}})


def test_the_start_has_tools_history_and_language():
    history = (HistoryItem("user", "hi"), HistoryItem("assistant", "hello"), CalledTool("c", "t", "{}", "1"))
    setup = Setup("s", "Be kind.", "de", tools=(ToolDeclaration("t", "does", {}),), history=history)
    session = start_message(setup, model="m", voice="", language="", tool_model="big")["session"]
    assert session["instructions"] == "Be kind.\n\nSpeak the language with the code de."
    assert session["audio"] == {"format": {"type": "audio/pcm", "rate": 16_000}}
    assert [one["role"] for one in session["input"]] == ["user", "assistant", "developer"]
    assert session["delegation"]["responses"]["tools"][0]["name"] == "t"


@pytest.mark.parametrize(
    ("agents", "configured", "sent"),
    [("marin", "ash", "marin"), ("Kore", "ash", "ash"), ("voice_1234", "", {"id": "voice_1234"})],
)
def test_the_voice_is_the_agents_where_the_service_has_it(agents: str, configured: str, sent: object) -> None:
    setup = Setup("s1", voice=agents)
    session = start_message(setup, model="m", voice=configured, language="", tool_model="big")["session"]
    assert session["audio"]["output"] == {"voice": sent}


def test_a_turn_of_which_nothing_was_sent_is_settled_at_once():
    protocol = LiveProtocol()
    assert protocol.end_turn(4, 10.0)[-1] == ResponseFinished("g1", 4, "silent")


def test_what_is_typed_over_a_cancelled_answer_has_an_answer_of_its_own():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    events(protocol, sound(), 1.0)
    protocol.cancel("g1")
    protocol.typed(2, "and now?", 1.1)
    assert events(protocol, sound(), 1.2)[0] == ResponseStarted("g2", 2)


def test_what_the_model_says_to_a_turn_that_was_none_was_not_asked_for():
    protocol = LiveProtocol()
    protocol.begin_turn(1)
    protocol.drop_turn()
    heard = {"type": "session.input_transcript.delta", "delta": "cough"}
    assert protocol.take(heard, 1.0) == ([], [])
    assert events(protocol, sound(), 1.1)[0] == ResponseStarted("g1", 0)
