"""What clients are told unasked: events, levels and figures they wished for, and what becomes of who does not read."""

import asyncio

from appliance.control.limits import Limits
from appliance.events import AudioLevel, CallChanged, TurnChanged, Warned
from tests.unit.control.parts import ask, close_code, desk, receive


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


async def test_levels_are_measured_only_while_somebody_wants_them(here):
    async with here.dial() as one, here.dial() as two:
        await ask(one, "subscribe", topics=["audio."])
        await ask(two, "subscribe", topics=["audio.level"])
        assert here.lines.level_watchers == 1
        await ask(one, "subscribe")
        assert here.lines.level_watchers == 1
    await here.until(lambda: here.lines.level_watchers == 0)
