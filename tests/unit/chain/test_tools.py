"""Tools that a chain's model calls: each call has one result, which is spoken about when it may be."""

import asyncio
import json

from appliance.interfaces import (
    CalledTool,
    Delivery,
    HistoryItem,
    ToolCall,
    ToolDeclaration,
)
from appliance.stages import Said, ToolUse
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker

TIME = ToolDeclaration("get_time", "the time", {"type": "object", "properties": {}})


@virtual_time
async def test_a_tool_is_called_and_its_result_spoken_about():
    async with Talker(tools=(TIME,)) as talker:
        talker.llm[0].will_call("get_time", '{"zone": "utc"}', first="Let me look.")
        talker.llm[0].will_say("It is ten.")
        await talker.types(1, "time")
        call = await talker.next(ToolCall)
        assert (call.tool, call.arguments, call.turn) == ("get_time", '{"zone": "utc"}', 1)
        await talker.gives(call, {"time": "10:00"})
        assert (await talker.answered(2)).turn == 1
        assert talker.text() == "Let me look. It is ten."
        used = talker.llm[0].prompts[1].items[-1]
        assert isinstance(used, ToolUse)
        assert json.loads(used.outcome) == {"time": "10:00"}
        assert [type(item) for item in talker.llm[0].prompts[1].items] == [Said, Said, ToolUse]


@virtual_time
async def test_two_calls_with_the_same_id_are_two_calls():
    async with Talker(tools=(TIME,)) as talker:
        for _ in range(2):
            talker.llm[0].will_call("get_time", call_id="call_0")
            talker.llm[0].will_say("Ten.")
        for turn in (1, 2):
            await talker.types(turn, "time")
            call = await talker.next(ToolCall, turn)
            await talker.gives(call, {"time": "10:00"})
            await talker.answered(turn * 2)
        assert len({call.call_id for call in talker.all(ToolCall)}) == 2


@virtual_time
async def test_a_silent_result_is_known_and_not_spoken_about():
    tool = ToolDeclaration("note", "", {"type": "object"}, Delivery.SILENT)
    async with Talker(tools=(tool,)) as talker:
        talker.llm[0].will_call("note", first="Noted.")
        await talker.types(1, "note it")
        await talker.gives(await talker.next(ToolCall), {"ok": True}, delivery=Delivery.SILENT)
        await talker.answered()
        await asyncio.sleep(5)
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_while_a_result_is_not_there_the_person_is_answered():
    tool = ToolDeclaration("search", "", {"type": "object"}, Delivery.WHEN_IDLE)
    async with Talker(tools=(tool,)) as talker:
        talker.llm[0].will_call("search", first="I am searching.")
        await talker.types(1, "search")
        call = await talker.next(ToolCall)
        await talker.answered(1)
        talker.llm[0].will_say("Fine.")
        await talker.types(2, "how are you")
        await talker.answered(2)
        talker.llm[0].will_say("I found it.")
        await talker.gives(call, {"found": 1}, delivery=Delivery.WHEN_IDLE)
        await talker.answered(3)
        items = talker.llm[0].prompts[-1].items
        assert isinstance(items[-1], ToolUse)
        assert talker.text().endswith("I found it.")


@virtual_time
async def test_a_call_of_the_history_gets_its_one_result():
    history = (HistoryItem("user", "time"), CalledTool("old-call", "get_time", "{}", None, 1))
    async with Talker(history=history, tools=(TIME,)) as talker:
        talker.llm[0].will_say("It was ten.")
        await talker.gives(ToolCall("old-call", "get_time", "{}", 1), {"time": "10:00"})
        assert (await talker.answered()).turn == 1
        used = talker.llm[0].prompts[0].items[-1]
        assert isinstance(used, ToolUse)
        assert json.loads(used.outcome) == {"time": "10:00"}


@virtual_time
async def test_a_model_that_only_calls_is_made_to_speak():
    async with Talker(tools=(TIME,)) as talker:
        for number in range(20):
            talker.llm[0].will_call("get_time", call_id=f"c{number}")
        await talker.types(1, "loop")
        for number in range(1, 9):
            await talker.gives(await talker.next(ToolCall, number), {"time": "10:00"})
        await asyncio.sleep(1)
        assert talker.llm[0].prompts[7].tools == (TIME,)
        assert talker.llm[0].prompts[8].tools == ()
