"""The control API as docs/control-api.md promises it, over a real socket."""

import asyncio
import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from appliance.control.commands import HANDLERS
from appliance.control.limits import Limits
from appliance.control.protocol import COMMANDS, MESSAGE_BYTES, Scope
from appliance.events import AudioLevel, CallChanged, LatencyMeasured, ProviderChanged, TurnChanged, Warned
from tests.unit.control.parts import ask, close_code, desk, receive


@pytest.fixture
async def here(tmp_path):
    async with desk(tmp_path) as running:
        yield running


@pytest.fixture
async def client(here):
    async with here.dial() as connection:
        hello = await receive(connection)
        assert hello["type"] == "hello"
        yield connection


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


async def test_a_binary_frame_above_one_mebibyte_closes_with_1009(client):
    await ask(client, "session.open")
    await client.send(bytes(MESSAGE_BYTES + 2))
    assert await close_code(client) == 1009


async def test_audio_without_a_session_gets_an_error_and_the_connection_stays(client):
    await client.send(bytes(640))
    error = await receive(client)
    assert (error["type"], error["id"], error["code"]) == ("error", None, "not_possible")
    assert (await ask(client, "ping"))["type"] == "result"


async def test_an_odd_number_of_audio_bytes_closes_with_4400(client):
    await ask(client, "session.open")
    await client.send(bytes(641))
    assert await close_code(client) == 4400


async def test_more_commands_than_allowed_close_with_4429(client):
    with contextlib.suppress(ConnectionClosed):
        for number in range(5_000):
            await client.send(json.dumps({"type": "ping", "id": str(number)}))
    assert await close_code(client) == 4429


async def test_a_hundred_commands_at_once_are_all_answered(client):
    for number in range(90):
        await client.send(json.dumps({"type": "ping", "id": str(number)}))
    assert [(await receive(client))["id"] for _ in range(90)] == [str(number) for number in range(90)]


async def test_audio_far_faster_than_real_time_closes_with_4429(client):
    await ask(client, "session.open", sample_rate=16000)
    with contextlib.suppress(ConnectionClosed):
        for _ in range(200):
            await client.send(bytes(32_000))
    assert await close_code(client) == 4429


async def test_audio_goes_both_ways_in_20_ms_frames(here, client):
    opened = await ask(
        client, "session.open", line="client", sample_rate=24000, agent="assistant", user="ann"
    )
    line = here.lines.line(opened["data"]["line"])
    spoken = bytes(range(1, 241)) * 40
    await client.send(spoken)
    line.playout.queue(b"\x01\x02" * 480 * 5)
    frames: list[bytes] = []
    async with asyncio.timeout(5):
        while len(frames) < 5:
            frame = await client.recv()
            if isinstance(frame, bytes):
                frames.append(frame)
    assert [len(frame) for frame in frames] == [960] * 5
    assert b"".join(frames) == b"\x01\x02" * 480 * 5
    await asyncio.sleep(0.2)
    assert line.capture.heard == spoken


async def test_silence_is_not_sent_but_time_goes_on(here, client):
    opened = await ask(client, "session.open")
    line = here.lines.line(opened["data"]["line"])
    await asyncio.sleep(0.5)
    assert 15 <= line.playout.pulls <= 35
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.recv(), 0.1)


async def test_a_burst_of_audio_is_given_on_at_a_bounded_speed_and_in_order(here, client):
    opened = await ask(client, "session.open", sample_rate=16000)
    line = here.lines.line(opened["data"]["line"])
    burst = b"".join(number.to_bytes(2, "little") for number in range(16_000))
    await client.send(burst)
    await ask(client, "ping")
    assert len(line.capture.heard) < len(burst) / 2
    await asyncio.sleep(0.6)
    assert line.capture.heard == burst


async def test_a_second_session_on_a_connection_is_refused_and_the_first_goes_on(here, client):
    first = await ask(client, "session.open")
    second = await ask(client, "session.open")
    assert (second["type"], second["code"]) == ("error", "line_busy")
    assert (await ask(client, "text", text="hello"))["data"]["session"] == first["data"]["session"]


async def test_a_refused_session_leaves_no_line_behind(here, client):
    refused = await ask(client, "session.open", agent="nobody")
    assert refused["code"] == "unknown_name"
    assert list(here.lines.all) == ["room"]


async def test_closing_the_socket_closes_the_session(here):
    async with here.dial() as client:
        await receive(client)
        await ask(client, "session.open")
        assert len(here.lines.all) == 2
    await asyncio.sleep(0.1)
    assert list(here.lines.all) == ["room"]


async def test_a_session_that_ends_by_itself_frees_the_connection_for_another(here, client):
    opened = await ask(client, "session.open")
    await here.lines.session(opened["data"]["session"]).close("idle")
    await asyncio.sleep(0.05)
    await client.send(bytes(640))
    again = await ask(client, "session.open", "again")
    assert here.lines.line(again["data"]["line"]).capture.heard == b""
    assert opened["data"]["line"] in here.lines.closed


async def test_two_clients_talk_side_by_side_and_share_nothing(here):
    async with here.dial() as one, here.dial() as two:
        first = (await ask(one, "session.open", "a"))["data"]
        second = (await ask(two, "session.open", "b"))["data"]
        assert first["line"] != second["line"]
        await one.send(b"\x01\x01" * 320)
        await two.send(b"\x02\x02" * 320)
        await asyncio.sleep(0.1)
        assert here.lines.line(first["line"]).capture.heard == b"\x01\x01" * 320
        assert here.lines.line(second["line"]).capture.heard == b"\x02\x02" * 320
        async with here.dial() as three:
            assert (await ask(three, "session.open", "c"))["code"] == "line_busy"


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


async def test_events_come_by_default_but_levels_only_on_subscription(here, client):
    assert here.lines.level_watchers == 0
    here.bus.publish(AudioLevel(line="room", input_dbfs=-20, output_dbfs=float("-inf")))
    here.bus.publish(TurnChanged(session="s", line="room", turn=1, state="listening"))
    assert (await receive(client))["type"] == "turn"
    await ask(client, "subscribe", topics=["audio.level"])
    assert here.lines.level_watchers == 1
    here.bus.publish(TurnChanged(session="s", line="room", turn=1, state="idle"))
    here.bus.publish(AudioLevel(line="room", input_dbfs=-20, output_dbfs=float("-inf")))
    level = await receive(client)
    assert (level["type"], level["input_dbfs"], level["output_dbfs"]) == ("audio.level", -20, None)


async def test_the_prefix_call_dot_also_means_the_event_call(here, client):
    assert (await ask(client, "subscribe", topics=["call."]))["data"] == {"topics": ["call."]}
    here.bus.publish(CallChanged(call="c1", direction="in", state="incoming", peer="sip:1@pbx"))
    assert (await receive(client))["call"] == "c1"


async def test_metrics_come_once_a_second_on_subscription(client):
    await ask(client, "subscribe", topics=["metrics"])
    first, second = await receive(client), await receive(client)
    assert first["type"] == second["type"] == "metrics"
    assert 0.8 < second["at"] - first["at"] < 1.5
    assert "uptime_seconds" in first["counters"]


async def test_a_client_that_does_not_read_loses_levels_first_and_is_then_closed_with_4408(tmp_path):
    limits = Limits(stalled_after=1.0, outbox_messages=400, lossy_above=10)
    async with desk(tmp_path, limits) as here, here.dial(max_queue=1) as slow, here.dial() as quick:
        await receive(slow)
        await ask(slow, "subscribe", topics=["audio.level", "warning"])
        await receive(quick)
        stop = asyncio.get_running_loop().time() + 8
        while here.server.counters()["clients"] == 2 and asyncio.get_running_loop().time() < stop:
            here.bus.publish(AudioLevel(line="room", input_dbfs=-20, output_dbfs=-20))
            here.bus.publish(Warned(code="test", message="x" * 20_000))
            await asyncio.sleep(0.002)
            if here.server.counters()["clients"] == 2:
                async with asyncio.timeout(1):
                    await receive(quick)
        counters = here.server.counters()
        assert counters["clients"] == 1
        assert counters["events_dropped_total"] > 0
        assert (await ask(quick, "ping"))["type"] == "result"
        assert await close_code(slow) == 4408


async def test_a_client_that_answers_no_ping_is_closed_with_4408(tmp_path, monkeypatch):
    async with desk(tmp_path, Limits(ping_every=0.1, pong_within=0.2)) as here, here.dial() as client:
        monkeypatch.setattr(client.protocol, "recv_frame", _without_pongs(client.protocol))
        assert await close_code(client) == 4408


def _without_pongs(protocol):
    from websockets.frames import Opcode

    receive_frame = protocol.recv_frame

    def deaf(frame):
        if frame.opcode is not Opcode.PING:
            receive_frame(frame)

    return deaf


async def test_more_clients_than_places_are_closed_with_4409(tmp_path):
    async with desk(tmp_path, Limits(clients=1)) as here, here.dial() as first:
        await receive(first)
        async with here.dial() as second:
            assert await close_code(second) == 4409
        assert (await ask(first, "ping"))["type"] == "result"


async def test_without_a_token_a_paired_appliance_closes_with_4401(here):
    here.tokens.pair(Scope.ADMIN, "kiosk")
    async with here.dial() as client:
        assert await close_code(client) == 4401


async def test_a_wrong_token_closes_with_4401_and_many_with_4429_but_a_right_one_is_taken(tmp_path):
    async with desk(tmp_path, Limits(failed_logins=3)) as here:
        codes = []
        for _ in range(6):
            async with here.dial(additional_headers={"Authorization": "Bearer wrong"}) as client:
                codes.append(await close_code(client))
        assert codes[:3] == [4401, 4401, 4401]
        assert codes[-1] == 4429
        async with here.dial() as client:
            assert (await receive(client))["type"] == "hello"
        secret = here.tokens.pair(Scope.TALK, "kitchen")
        async with here.dial(additional_headers={"Authorization": f"Bearer {secret}"}) as client:
            assert (await receive(client))["type"] == "hello"


async def test_a_token_made_while_the_server_runs_counts_at_once_and_a_revoked_one_no_more(here, tmp_path):
    from appliance.control.auth import Tokens

    other = Tokens(tmp_path)
    secret = other.pair(Scope.TALK, "phone")
    headers = {"Authorization": f"Bearer {secret}"}
    async with here.dial(additional_headers=headers) as client:
        assert (await receive(client))["type"] == "hello"
    other.revoke("phone")
    async with here.dial(additional_headers=headers) as client:
        assert await close_code(client) == 4401


@pytest.mark.parametrize("named", [True, False])
async def test_a_browser_gives_its_token_as_a_subprotocol(here, named):
    secret = here.tokens.pair(Scope.OBSERVE, "page")
    offered = [*(["handset.v1"] if named else []), f"bearer.{secret}"]
    async with here.dial(subprotocols=offered, origin=f"http://{here.address}") as client:
        assert (await receive(client))["type"] == "hello"
        assert client.subprotocol == offered[0]


async def test_a_browser_with_a_wrong_token_sees_4401(here):
    async with here.dial(subprotocols=["handset.v1", "bearer.wrong"]) as client:
        assert await close_code(client) == 4401


async def test_a_foreign_origin_is_refused(here):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        async with here.dial(origin="http://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_listed_origin_is_allowed(tmp_path):
    async with (
        desk(tmp_path, origins=("https://panel.example",)) as here,
        here.dial(origin="https://panel.example") as client,
    ):
        assert (await receive(client))["type"] == "hello"


async def test_a_command_beyond_the_scope_is_forbidden_and_insistence_closes_with_4403(here):
    secret = here.tokens.pair(Scope.OBSERVE, "display")
    async with here.dial(additional_headers={"Authorization": f"Bearer {secret}"}) as client:
        await receive(client)
        error = await ask(client, "say", line="room", text="boo")
        assert (error["type"], error["code"]) == ("error", "forbidden")
        assert (await ask(client, "status"))["type"] == "result"
        for _ in range(4):
            await ask(client, "volume", level=1)
        assert await close_code(client) == 4403
    assert here.lines.line("room").session is None


async def test_the_scope_talk_does_not_reach_other_peoples_sessions(here):
    secret = here.tokens.pair(Scope.TALK, "phone")
    async with here.dial(additional_headers={"Authorization": f"Bearer {secret}"}) as client:
        room = here.lines.open_session(here.lines.line("room"))
        assert (await ask(client, "text", session=room.id, text="hello"))["code"] == "forbidden"
        own = await ask(client, "session.open")
        assert (await ask(client, "text", session=own["data"]["session"], text="hello"))["data"]["turn"] == 1


async def test_stopping_the_server_closes_its_clients_with_1001(here, client):
    await ask(client, "session.open")
    await here.server.stop()
    assert await close_code(client) == 1001
    assert list(here.lines.all) == ["room"]


async def test_more_connections_than_bearable_are_dropped_and_places_come_back(tmp_path):
    async with desk(tmp_path, Limits(connections=4)) as here:
        silent = [await asyncio.open_connection("127.0.0.1", here.server.port) for _ in range(4)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        for _, other in [(reader, writer), *silent]:
            other.close()
        await asyncio.sleep(0.1)
        async with here.dial() as client:
            assert (await receive(client))["type"] == "hello"


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


async def test_levels_are_measured_only_while_somebody_wants_them(here):
    async with here.dial() as one, here.dial() as two:
        await ask(one, "subscribe", topics=["audio."])
        await ask(two, "subscribe", topics=["audio.level"])
        assert here.lines.level_watchers == 1
        await ask(one, "subscribe")
        assert here.lines.level_watchers == 1
    await here.until(lambda: here.lines.level_watchers == 0)


async def test_status_tells_the_rooms_mute_and_volume_and_which_provider_is_well(here, client):
    await ask(client, "mute", on=True)
    here.bus.publish(
        ProviderChanged(provider="cloud", state="down", reason="no route", code="provider_unavailable")
    )
    here.bus.publish(ProviderChanged(provider="offline", state="up"))
    state = (await ask(client, "status"))["data"]
    assert (state["mute"], state["volume"]) == (True, 50)
    assert [state["providers"][name]["healthy"] for name in ("cloud", "offline")] == [False, True]
    cloud = state["providers"]["cloud"]
    assert (cloud["rung"], cloud["state"], cloud["reason"]) == (0, "down", "no route")
    assert (cloud["code"], cloud["sessions"]) == ("provider_unavailable", [])


async def test_status_says_that_the_models_of_a_provider_fail_until_one_answers(here, client):
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    here.bus.publish(Warned(provider="cloud", session="s1", code="llm_failed", message="nothing listens"))
    here.bus.publish(LatencyMeasured(session="s2", turn=1, first_text=300))
    here.bus.publish(LatencyMeasured(session="s1", turn=1))
    state = (await ask(client, "status"))["data"]
    assert state["providers"]["cloud"]["warning"] == "nothing listens"
    here.bus.publish(LatencyMeasured(session="s1", turn=2, first_text=300))
    state = (await ask(client, "status"))["data"]
    assert not state["providers"]["cloud"]["warning"]


async def test_status_says_what_a_provider_goes_without_until_it_connects_with_all(here, client):
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    here.bus.publish(Warned(provider="cloud", code="stage_skipped", message="tts piper is left out"))
    state = (await ask(client, "status"))["data"]
    assert state["providers"]["cloud"]["warning"] == "tts piper is left out"
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    state = (await ask(client, "status"))["data"]
    assert not state["providers"]["cloud"]["warning"]
