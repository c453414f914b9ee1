"""Commands as docs/control-api.md promises them, over a real socket: one answer each, bad ones named, floods ended."""

import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from appliance.control.commands import HANDLERS
from appliance.control.protocol import COMMANDS, MESSAGE_BYTES
from tests.unit.control.parts import ask, close_code, receive


async def test_the_first_frame_is_hello_with_the_snapshot_that_status_returns(here):
    async with here.dial() as client:
        hello = await receive(client)
        status = await ask(client, "status")
    assert (hello["type"], hello["protocol"], hello["version"], hello["device"]) == (
        "hello",
        1,
        "0.0",
        {"name": "desk"},
    )
    wanted = {"lines", "sessions", "calls", "registration", "mute", "volume", "providers", "counters"}
    assert wanted <= hello["state"].keys()
    assert status["data"].keys() == hello["state"].keys()
    assert "session.open" in hello["capabilities"]
    assert "agent.transfer" not in hello["capabilities"]


def test_every_command_of_the_table_has_a_handler():
    assert HANDLERS.keys() == COMMANDS.keys()


async def test_a_command_gets_one_result_with_the_callers_id(client):
    assert await ask(client, "ping", "mine") == {"type": "result", "id": "mine", "data": {}}
    assert (await ask(client, "ping", 7))["id"] == 7


@pytest.mark.parametrize(
    ("frame", "code", "told"),
    [
        ({"type": "pong", "id": "1"}, "unknown_command", "did you mean 'ping'?"),
        ({"type": "ping"}, "request_invalid", "id"),
        ({"type": "ping", "id": {}}, "request_invalid", "id"),
        ({"type": "ping", "id": ""}, "request_invalid", "id"),
        ({"type": 5, "id": "1"}, "request_invalid", "type"),
        ({"id": "1"}, "request_invalid", "type"),
        ({"type": "volume", "id": "1"}, "request_invalid", "level"),
        ({"type": "volume", "id": "1", "level": "loud"}, "request_invalid", "level"),
        ({"type": "volume", "id": "1", "level": 101}, "request_invalid", "level"),
        ({"type": "volume", "id": "1", "level": True}, "request_invalid", "level"),
        ({"type": "volume", "id": "1", "levle": 5}, "request_invalid", "did you mean 'level'?"),
        ({"type": "mute", "id": "1", "on": 1}, "request_invalid", "on"),
        ({"type": "session.open", "id": "1", "sample_rate": 44100}, "request_invalid", "sample_rate"),
        ({"type": "subscribe", "id": "1", "topics": "call"}, "request_invalid", "topics"),
        ({"type": "subscribe", "id": "1", "topics": ["calls."]}, "request_invalid", "topics"),
        ({"type": "call.dial", "id": "1", "to": "sip:x@y\r\nEvil: 1"}, "request_invalid", "to"),
        ({"type": "call.dial", "id": "1", "to": "201", "agent": "nobody"}, "unknown_name", "nobody"),
        ({"type": "call.dtmf", "id": "1", "call": "c1", "digits": "12x"}, "request_invalid", "digits"),
        ({"type": "call.hangup", "id": "1", "call": "c9"}, "unknown_name", "c9"),
        ({"type": "text", "id": "1", "text": "hello"}, "request_invalid", "session"),
        ({"type": "text", "id": "1", "session": "s9", "text": "hello"}, "unknown_name", "s9"),
        ({"type": "mute", "id": "1", "line": "attic", "on": True}, "unknown_name", "attic"),
        (
            {"type": "agent.transfer", "id": "1", "session": "s", "agent": "a"},
            "not_supported",
            "agent.transfer",
        ),
        (
            {"type": "behaviour.set", "id": "1", "session": "s", "key": "k", "preset": "p"},
            "not_supported",
            "behaviour.set",
        ),
        ({"type": "config.reload", "id": "1"}, "not_supported", "config.reload"),
    ],
)
async def test_a_bad_command_gets_one_error_that_says_what_is_wrong(client, frame, code, told):
    await client.send(json.dumps(frame))
    error = await receive(client)
    assert (error["type"], error["code"]) == ("error", code)
    assert told in error["message"] + error["hint"]
    assert (await ask(client, "ping", "after"))["type"] == "result"


@pytest.mark.parametrize(
    "frame",
    ["", "hello", "[]", "5", "null", '"ping"', "{", '{"type":"ping","id":NaN}', "[" * 100_000, "1" * 5_000],
)
async def test_what_is_no_json_object_closes_with_4400(client, frame):
    await client.send(frame)
    assert await close_code(client) == 4400


async def test_a_text_above_one_mebibyte_closes_with_1009(client):
    await client.send("x" * (MESSAGE_BYTES + 1))
    assert await close_code(client) == 1009


async def test_more_commands_than_allowed_close_with_4429(client):
    with contextlib.suppress(ConnectionClosed):
        for number in range(5_000):
            await client.send(json.dumps({"type": "ping", "id": str(number)}))
    assert await close_code(client) == 4429


async def test_a_hundred_commands_at_once_are_all_answered(client):
    for number in range(90):
        await client.send(json.dumps({"type": "ping", "id": str(number)}))
    assert [(await receive(client))["id"] for _ in range(90)] == [str(number) for number in range(90)]


@pytest.mark.parametrize(
    ("command", "fields", "done"),
    [
        ("call.dial", {"to": "sip:ann@pbx", "agent": "sales"}, ("dial", "sip:ann@pbx", "sales")),
        ("call.answer", {"call": "c1"}, ("answer", "c1")),
        ("call.reject", {"call": "c1"}, ("reject", "c1", 603)),
        ("call.hangup", {"call": "c1"}, ("hang_up", "c1")),
        ("call.hold", {"call": "c1"}, ("hold", "c1")),
        ("call.resume", {"call": "c1"}, ("resume", "c1")),
        ("call.transfer", {"call": "c1", "to": "200"}, ("transfer", "c1", "200", "blind")),
        ("call.dtmf", {"call": "c1", "digits": "12#a"}, ("dtmf", "c1", "12#A")),
        ("call.record", {"call": "c1", "on": True}, ("record", "c1", True)),
        ("call.record", {"call": "c1", "on": True, "paused": True}, ("record", "c1", True, True)),
        ("call.answer", {}, ("answer", "c1")),
        ("call.hangup", {}, ("hang_up", "c1")),
    ],
)
async def test_a_call_command_reaches_the_telephone(here, client, command, fields, done):
    answer = await ask(client, command, **fields)
    assert answer["type"] == "result"
    assert answer["data"]["call"] in ("c1", "c2")
    assert here.calls.done == [done]


async def test_what_the_state_forbids_is_an_error_with_its_own_code(client):
    assert (await ask(client, "call.transfer", call="c1", to="2", mode="attended"))["code"] == "not_possible"


async def test_room_commands_reach_the_room(here, client):
    room = here.lines.line("room")
    assert (await ask(client, "mute", on=True))["data"] == {"line": "room", "on": True}
    assert (await ask(client, "volume", line="room", level=100))["data"] == {"line": "room", "level": 90}
    await ask(client, "ptt.press", line="room")
    await ask(client, "ptt.release", line="room")
    assert (room.muted, room.volume, room.pressed) == (True, 90, [True, False])
    await ask(client, "say", line="room", text="good morning", interruptible=False, priority="high")
    await ask(client, "notify", line="room", text="tea is ready", label="tea", priority="high")
    assert room.session.done == [
        ("say", "good morning", False, "high"),
        ("notify", "tea is ready", "tea", True),
    ]


async def test_history_and_diagnosis_are_answered(client):
    listed = await ask(client, "history.list", limit=3, before=12.5)
    assert listed["data"] == {"sessions": [{"id": "old", "limit": 3, "before": 12.5}]}
    assert (await ask(client, "history.get", session="old"))["data"]["turns"] == []
    assert (await ask(client, "history.get", session="new"))["code"] == "unknown_name"
    calls = await ask(client, "history.calls", limit=2)
    assert calls["data"]["calls"] == [{"call": "one", "limit": 2, "before": None}]
    assert (await ask(client, "diagnose"))["data"] == {"checks": []}


async def test_a_fault_in_a_part_is_an_answer_and_costs_nobody_the_connection(here, client, caplog):
    said = "sword" + "fish"

    async def broken(*_):
        raise RuntimeError(said)

    here.lines.close_line = broken
    await ask(client, "session.open")
    answer = await ask(client, "session.close", "2")
    assert (answer["type"], answer["code"]) == ("error", "internal")
    assert (await ask(client, "ping", "3"))["type"] == "result"
    assert "RuntimeError" in caplog.text
    assert said not in caplog.text + json.dumps(answer)
