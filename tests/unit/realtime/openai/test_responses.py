"""The protocol without a socket: answers, those that are cut off, refused or failed."""

from typing import Any

import pytest

from appliance.errors import ApplianceError, QuotaExhausted, RateLimited
from appliance.interfaces import (
    CancelResponse,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendText,
)
from tests.unit.realtime.openai.exchange import LOUD, Wire, kinds, troubles


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
