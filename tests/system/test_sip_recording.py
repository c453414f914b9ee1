"""Recordings of real calls: both sides, begun and ended while it goes on, and readable after a power cut."""

import asyncio
import os
import signal
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.shared import Shared
from tests.rig.sip_peers import programs_missing
from tests.rig.sounds import share_of, tone
from tests.rig.telephone_sound import RATE, Talker, calling

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

HERTZ = 620


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    async with Shared(lambda: Handset(sip={}, recording={"announce": False})) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


def read(path: str | Path) -> tuple[Any, Any, int]:
    """Caller, Handset, rate."""
    with wave.open(str(path)) as file:
        stereo = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
        return stereo[:, 0], stereo[:, 1], file.getframerate()


def seconds_of(path: str) -> float:
    """What the header tells of by now: all but the last second."""
    with wave.open(path) as file:
        return float(file.getnframes() / file.getframerate())


def tear(path: Path, samples: bytes) -> None:
    """As though the cut had come between the samples and the header, a minute ago."""
    with path.open("ab") as file:
        file.write(samples)
    then = path.stat().st_mtime - 60
    os.utime(path, (then, then))


async def test_by_api_a_call_is_recorded_from_on_to_off_the_caller_left_and_handset_right(handset):
    async with calling(handset.sip_port) as caller:
        client, talker = handset.client, Talker(caller)
        call = (await client.event("call", state="connected"))["call"]
        session = (await client.event("session.state", to="active"))["session"]
        await client.ask("call.record", call=call, on=True)
        path = (await client.event("recording", call=call, state="started"))["path"]
        talker.say(tone(HERTZ, 1.5, RATE))
        await asyncio.sleep(2.0)
        await client.ask("say", session=session, text="This is what the appliance says.")
        await talker.sounds(for_seconds=0.5)
        await asyncio.sleep(2.5)
        before_pause = await asyncio.to_thread(seconds_of, path)
        await client.ask("call.record", call=call, on=True, paused=True)
        talker.say(tone(HERTZ, 1.5, RATE))
        await asyncio.sleep(2.0)
        await client.ask("call.record", call=call, on=False)
        await client.event("recording", call=call, state="stopped")
        talker.say(tone(HERTZ, 1.0, RATE))
        await asyncio.sleep(1.2)
        left, right, rate = await asyncio.to_thread(read, path)
        assert 6.0 < len(left) / rate < 11.0
        assert share_of(HERTZ, left[: 2 * rate], rate) > 0.8
        pause = left[round((before_pause + 1.5) * rate) :]
        assert len(pause) > 0
        assert not pause.any(), "what was said in the pause, and after the end, is not in it"
        states = [event["state"] for event in client.of("recording", call=call)]
        assert states == ["started", "paused", "stopped"]
        assert np.abs(right.astype(int)).max() > 2_000
        assert share_of(HERTZ, right, rate) < 0.1, "one side is not in the other"


async def test_after_a_power_cut_the_recording_is_readable_and_whole_after_the_next_start(handset):
    async with calling(handset.sip_port) as caller:
        call = (await handset.client.event("call", state="connected"))["call"]
        await handset.client.ask("call.record", call=call, on=True)
        started = await handset.client.event("recording", state="started")
        Talker(caller).say(tone(HERTZ, 4.0, RATE))
        await asyncio.sleep(3.6)
        await handset.stop(signal.SIGKILL)
        caller.leave_unsaid()
    path = Path(started["path"])
    left, _, rate = await asyncio.to_thread(read, path)
    assert len(left) / rate > 2.0
    assert share_of(HERTZ, left[rate : 2 * rate], rate) > 0.8

    await asyncio.to_thread(tear, path, bytes(4 * rate))
    await handset.start()
    for _ in range(100):
        if "is whole again" in handset.text():
            break
        await asyncio.sleep(0.1)
    mended, _, _ = await asyncio.to_thread(read, path)
    assert len(mended) >= len(left) + rate
