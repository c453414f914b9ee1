"""Commands and the service's messages in any order."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendText,
    ToolCall,
    ToolResult,
    UserHeard,
)
from tests.unit.realtime.gemini_log import BROKEN, DONE, SOUND, Log, audio, called, content

TURNS = st.integers(1, 4)
COMMANDS = st.one_of(
    st.builds(audio, TURNS),
    st.builds(CommitTurn, TURNS),
    st.builds(DiscardTurn, TURNS),
    st.builds(SendText, st.integers(5, 9), st.sampled_from(["hello", ""])),
    st.builds(
        CancelResponse, st.sampled_from(["response-1", "response-2", "response-3"]), st.just(""), st.just(0)
    ),
    st.builds(ToolResult, st.sampled_from("abc"), delivery=st.sampled_from(list(Delivery))),
)
MESSAGES = st.one_of(
    st.sampled_from(
        [
            content(**SOUND),
            content(**DONE),
            content(**BROKEN),
            content(**BROKEN, **DONE),
            content(generationComplete=True),
            content(outputTranscription={"text": "yes"}),
            content(inputTranscription={"text": "no"}),
            called("a"),
            called("b"),
            b'{"toolCallCancellation":{"ids":["a","b"]}}',
            b'{"sessionResumptionUpdate":{"newHandle":"h","resumable":true}}',
            b'{"goAway":{}}',
            b"rubbish",
        ]
    ),
    st.binary(max_size=20),
)


@pytest.mark.slow
@given(st.lists(st.one_of(COMMANDS, MESSAGES), max_size=60), st.booleans())
@settings(max_examples=400, deadline=None)
def test_in_any_order_each_response_has_one_beginning_and_one_end_and_each_call_one_result(
    steps: list[Any], server_turns: bool
) -> None:
    log = Log(server_turns=server_turns, restored=[CalledTool("c", "get_time", "{}", turn=3)])
    for step in steps:
        log.hear(step) if isinstance(step, bytes) else log.say(step)
    begun: set[str] = set()
    ended: set[str] = set()
    for event in log.events:
        if isinstance(event, ResponseStarted):
            assert event.response not in begun
            begun.add(event.response)
        elif isinstance(event, ResponseAudio | ResponseText | ResponseFinished):
            assert event.response in begun - ended
            if isinstance(event, ResponseFinished):
                ended.add(event.response)
    assert len(begun - ended) <= 1
    finals = Counter(one.turn for one in log.of(UserHeard) if one.final and one.turn < 5)  # type: ignore[attr-defined]
    assert all(count == 1 for count in finals.values())
    calls = [one.call_id for one in log.of(ToolCall)]  # type: ignore[attr-defined]
    assert len(calls) == len(set(calls))
    answered = [
        response["id"]
        for one in log.sent
        for response in one.get("toolResponse", {}).get("functionResponses", [])
    ]
    assert len(answered) == len(set(answered))
    marks = [next(iter(one["realtimeInput"])) for one in log.sent if "realtimeInput" in one]
    marks = [mark for mark in marks if mark.startswith("activity")]
    assert all(mark == ("activityStart", "activityEnd")[place % 2] for place, mark in enumerate(marks))


@pytest.mark.slow
@given(st.lists(MESSAGES, max_size=30))
@settings(max_examples=200, deadline=None)
def test_whatever_came_the_next_question_is_answered(messages: list[bytes]) -> None:
    log = Log().hear(*messages, content(**DONE)).say(SendText(7, "still there?"))
    log.hear(content(**BROKEN), content(**DONE), content(**SOUND), content(**DONE))
    assert any(one.turn == 7 and one.status == "completed" for one in log.of(ResponseFinished))  # type: ignore[attr-defined]
