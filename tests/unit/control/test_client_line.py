"""A client line on the real playout."""

import asyncio
import contextlib
import itertools
import math
import struct

import pytest

from appliance.audio.playout import Playout
from appliance.bus import EventBus
from appliance.control.client_line import ClientLine
from appliance.control.limits import Limits
from appliance.control.outbox import Outbox
from appliance.interfaces import LineKind
from tests.unit.control.parts import MemoryCapture, MemoryLine, MemorySession

RATE = 16_000


class PlayingLine(MemoryLine):
    def __init__(self) -> None:
        super().__init__("client-1", LineKind.CLIENT)
        self.playout: Playout = Playout(RATE)  # type: ignore[assignment]
        self.capture = MemoryCapture()


def tone(seconds):
    samples = (int(8_000 * math.sin(number * 0.2)) for number in range(int(RATE * seconds)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


@pytest.fixture
async def running():
    line = PlayingLine()
    outbox = Outbox(Limits())
    client_line = ClientLine(line, MemorySession("s1", line, EventBus(), ""), RATE, outbox, Limits())
    pacing = asyncio.create_task(client_line.run(asyncio.get_running_loop().time))
    yield line, outbox
    pacing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pacing


async def taken(outbox):
    pieces = []
    while outbox.waiting():
        pieces.append(await outbox.take())
    return pieces


@pytest.mark.slow
async def test_an_answer_is_sent_whole_in_real_time_and_then_nothing(running):
    line, outbox = running
    line.playout.play("u1", tone(0.4), RATE)
    line.playout.finish("u1")
    await asyncio.sleep(0.2)
    early = await taken(outbox)
    await asyncio.sleep(0.4)
    late = await taken(outbox)
    await asyncio.sleep(0.1)
    assert 7 <= len(early) <= 15
    assert all(len(piece) == 640 for piece in early + late)
    assert b"".join(early + late).rstrip(b"\0")[:12_000] == tone(0.4)[:12_000]
    assert await taken(outbox) == []


@pytest.mark.slow
async def test_what_waits_for_the_client_is_not_yet_heard(running):
    line, outbox = running
    line.playout.play("u1", tone(1.0), RATE)
    await asyncio.sleep(0.3)
    assert outbox.audio_bytes > 0
    assert line.playout.heard_ms("u1") < 25
    await taken(outbox)
    assert line.playout.heard_ms("u1") > 200


@pytest.mark.slow
async def test_a_flush_ends_in_a_fade_and_not_in_a_click(running):
    line, outbox = running
    line.playout.play("u1", tone(1.0), RATE)
    await asyncio.sleep(0.2)
    line.playout.flush()
    await asyncio.sleep(0.1)
    sound = b"".join(await taken(outbox))
    samples = struct.unpack(f"<{len(sound) // 2}h", sound)
    steps = [abs(after - before) for before, after in itertools.pairwise(samples)]
    assert max(steps) < 2_000
    assert samples[-1] == 0
