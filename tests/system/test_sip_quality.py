"""A bad network is measured and told; a far end of which nothing comes is warned of, and given up in the end."""

import asyncio
import time

import numpy as np
import pytest
import pytest_asyncio

from appliance.interfaces import QualityReport, SoundReport
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig.appliance import Handset
from tests.rig.raw_caller import RawCaller
from tests.rig.shared import Shared
from tests.rig.sip_desk import Desk, settle
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.telephone_sound import calling

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    async with Shared(lambda: Handset(sip={})) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


async def test_a_clean_line_has_a_good_score_and_a_bad_one_says_what_is_wrong(handset):
    async with calling(handset.sip_port) as caller:
        client = handset.client
        call = (await client.event("call", state="connected"))["call"]
        clean = await client.event("call.quality", 15, call=call)
        assert clean["mos"] >= 4.2
        assert clean["loss_percent"] < 1

        chance = np.random.default_rng(1)
        gone, late = chance.random(65_536) < 0.1, chance.random(65_536) * 0.06
        caller.loses = lambda number: bool(gone[number])
        caller.delays = lambda number: float(late[number])
        since = client.mark
        await client.event("call.quality", 15, call=call, since=since)
        bad = await client.event("call.quality", 15, call=call, since=client.mark)
        assert 5 < bad["loss_percent"] < 30
        assert bad["jitter_ms"] > 3
        assert bad["mos"] < 3.8
        assert (await client.state())["calls"][0]["quality"]["mos"] == bad["mos"]
        metrics = (await handset.page("/metrics"))[1]
        assert f"handset_sip_quality_worst_mos {bad['mos']}" in metrics
        await client.ask("call.hangup", call=call)
        await client.event("call", call=call, state="ended")
        (kept,) = (each for each in (await client.ask("history.calls"))["calls"] if each["call"] == call)
        assert kept["quality"]["worst_mos"] <= bad["mos"]
        assert kept["quality"]["worst_mos"] <= kept["quality"]["mos"] < clean["mos"]
        assert kept["quality"]["packets"] > 400


async def test_the_round_trip_is_measured_with_a_phone_that_reports():
    async with Desk() as desk, Phone("alice") as alice:
        await alice.dial(desk.uri)
        call = await desk.pick_up()
        await desk.until(QualityReport, call=call, seconds=8)
        await settle(8.0)
        counts = desk.of(QualityReport, call=call)[-1].counts
        assert counts["reports"] >= 1
        assert 0 <= counts["round_trip_ms"] < 50
        assert counts["lost"] <= 2


async def test_a_caller_of_whom_nothing_ever_comes_is_warned_of_then_given_up():
    caller: RawCaller
    async with Desk(timing=Timing(media_silence=1.5, media_timeout=4.0)) as desk:
        caller = RawCaller(desk.settings["port"])
        caller.talking = False
        entered = asyncio.create_task(asyncio.to_thread(caller.__enter__))
        call = await desk.incoming()
        desk.telephone.answer(call)
        await entered
        began = time.monotonic()
        report = await desk.until(SoundReport, call=call, seconds=4)
        assert (report.comes, report.ever) == (False, False)
        assert 1.0 < time.monotonic() - began < 3.5
        assert (await desk.state(call, "ended", seconds=5)).reason == "media timeout"
        assert len(desk.of(SoundReport, call=call)) == 1
        await asyncio.to_thread(caller.__exit__, None, None, None)


async def test_sound_that_stops_is_told_and_so_is_its_return():
    async with Desk(timing=Timing(media_silence=1.5, media_timeout=20.0)) as desk:
        picking_up = asyncio.create_task(desk.pick_up())
        async with calling(desk.settings["port"]) as caller:
            call = await picking_up
            await settle(1.2)
            caller.talking = False
            stopped = await desk.until(SoundReport, call=call, seconds=5, comes=False)
            assert stopped.ever
            caller.talking = True
            await desk.until(SoundReport, call=call, seconds=3, comes=True)


async def test_the_daemon_warns_with_a_remedy(handset):
    caller = RawCaller(handset.sip_port)
    caller.talking = False
    await asyncio.to_thread(caller.__enter__)
    warned = await handset.client.event("warning", 20, code="no_sound_arrives")
    assert "sip.rtp_ports" in warned["hint"]
    assert warned["session"]
    await asyncio.to_thread(caller.__exit__, None, None, None)
    await handset.client.event("call", state="ended")
