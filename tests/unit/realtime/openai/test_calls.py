"""The protocol without a socket: calls of tools, their results and their batches."""

import json

from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    Delivery,
    HistoryItem,
    ResponseFinished,
    Setup,
    ToolCall,
    ToolResult,
)
from tests.unit.realtime.openai.exchange import Wire, kinds


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
