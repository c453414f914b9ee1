"""Sessions over a client's own connection: its audio both ways, one at a time, gone with the connection."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from appliance.control.protocol import MESSAGE_BYTES
from tests.unit.control.parts import ask, close_code, receive


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


async def test_stopping_the_server_closes_its_clients_with_1001(here, client):
    await ask(client, "session.open")
    await here.server.stop()
    assert await close_code(client) == 1001
    assert list(here.lines.all) == ["room"]
