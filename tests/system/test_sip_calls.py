"""Calls with real phones through a real registrar, and what was heard at both ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import RequestInvalid, UnknownName
from appliance.interfaces import CallReport, DtmfReport, IncomingCall, MediaReport, NoticeReport
from drivers.sip_pjsua2.client import library_report
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig import sip_scenarios
from tests.rig.raw_caller import PULSE, RawCaller
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, Scenario, programs_missing
from tests.rig.tones import dominant_hertz, write_tone

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


@pytest.fixture
async def desk(registrar: Registrar) -> AsyncIterator[Desk]:
    async with Desk(server=registrar.server, user="handset") as desk:
        yield desk


def assert_both_heard(
    desk: Desk, call: str, phone: Phone, *, phone_hertz: float, desk_hertz: float = 1000
) -> None:
    """The last second at both ends is the other's tone."""
    samples, rate = phone.heard()
    assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(phone_hertz, abs=5)
    assert dominant_hertz(samples[-rate:], rate) == pytest.approx(desk_hertz, abs=5)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722/16000/1", "opus/48000/2"])
async def test_a_phone_calls_through_the_registrar_and_both_hear_each_other(registrar, desk, codec):
    if codec.startswith("opus") and not library_report()["opus"]:
        pytest.skip("this SIP library has no Opus")
    async with Phone("alice", registrar, tone=440, codecs=codec) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(2.0)

        assert_both_heard(desk, call, alice, phone_hertz=440)
        assert desk.of(MediaReport, call=call, active=True)[0].codec.split("/")[0] == codec.split("/")[0]
        incoming = desk.of(IncomingCall)[0]
        assert incoming.peer == f"sip:alice@{registrar.server}"
        assert incoming.source == registrar.server
        assert "baresip" in incoming.headers["user-agent"]

        await alice.hang_up()
        assert (await desk.state(call, "ended")).code == 200
        counters = desk.telephone.counters()
        assert counters["calls_now"] == 0
        assert counters["faults"] == counters["audio_faults"] == 0


async def test_every_20_ms_one_frame_comes_and_one_goes_without_a_gap(registrar, desk):
    async with Phone("alice", registrar, tone=440) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(3.0)

        frames = desk.ears[call].frames
        assert {len(pcm) for _, pcm in frames} == {640}
        assert len(frames) == pytest.approx((frames[-1][0] - frames[0][0]) * 50 + 1, abs=3)
        assert desk.tones[call].pulls == pytest.approx(len(frames), abs=4)
        assert 20 <= desk.telephone.heard_lag_ms(call) <= 60
        assert desk.telephone.counters()["playout_dropped"] == 0


async def test_the_appliance_dials_a_phone_and_both_hear_each_other(registrar, desk):
    async with Phone("bob", registrar, tone=600, answers="auto") as bob:
        call = await desk.dial("bob")
        await desk.state(call, "connected")
        await settle(2.0)

        assert_both_heard(desk, call, bob, phone_hertz=600)
        assert desk.of(CallReport, call=call)[0].state == "dialing"
        desk.telephone.hang_up(call)
        await desk.state(call, "ended")
        await bob.event("CALL_CLOSED")


async def test_the_phone_rings_while_the_appliance_waits_for_it(registrar, desk):
    async with Phone("bob", registrar) as bob:
        call = await desk.dial("bob")
        await desk.state(call, "ringing")
        await bob.event("CALL_INCOMING")
        desk.telephone.hang_up(call)
        assert (await desk.state(call, "ended")).code == 487


async def test_dialling_a_number_that_does_not_exist_says_404(desk):
    call = await desk.dial("nobody")
    assert (await desk.state(call, "ended")).code == 404
    with pytest.raises(UnknownName):
        desk.telephone.hang_up(call)


async def test_the_caller_hears_that_we_ring_before_we_answer(registrar, desk):
    async with Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.incoming()
        desk.telephone.ring(call)
        await desk.state(call, "ringing")
        await alice.event("CALL_RINGING")
        assert not desk.of(CallReport, call=call, state="connected")


@pytest.mark.parametrize(("code", "words"), [(486, "Busy"), (403, "Forbidden")])
async def test_a_refused_caller_is_told_the_code(registrar, desk, code, words):
    async with Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.incoming()
        desk.telephone.reject(call, code, words)
        assert str(code) in (await alice.event("CALL_CLOSED"))["param"]
        await desk.state(call, "ended")


async def test_digits_arrive_once_each_with_their_length(registrar, desk):
    async with Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        for digit in "159#":
            await alice.press(digit)
            await settle(0.35)
        await settle(0.5)
        reports = desk.of(DtmfReport, call=call)
        assert "".join(report.digit for report in reports) == "159#"
        assert all(20 <= report.duration_ms <= 400 for report in reports)


async def test_the_phone_receives_the_digits_that_the_appliance_sends(registrar, desk):
    async with Phone("bob", registrar, answers="auto") as bob:
        call = await desk.dial("bob")
        await desk.state(call, "connected")
        await settle(0.5)
        desk.telephone.send_dtmf(call, "42*")
        await settle(2.0)
        log = bob.log()
        keys = [event["param"] for event in bob.events if event["type"] == "CALL_DTMF_START"]
        assert "".join(keys) == "42*", log
        with pytest.raises(RequestInvalid):
            desk.telephone.send_dtmf(call, "4x")


async def test_whom_we_hold_is_not_heard_and_resume_brings_both_back(registrar, desk):
    async with Phone("alice", registrar, tone=440) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(1.0)
        desk.telephone.hold(call)
        await desk.state(call, "held")
        await settle(1.0)
        assert not desk.heard(call, 500).any()
        # What we play goes on: it is the music that they hear.
        assert not desk.of(MediaReport, call=call, active=False)

        since = len(desk.events)
        desk.telephone.resume(call)
        await desk.state(call, "connected", since=since)
        await settle(1.6)
        assert_both_heard(desk, call, alice, phone_hertz=440)


async def test_being_put_on_hold_is_reported_and_so_is_its_end(registrar, desk):
    async with Phone("alice", registrar, tone=440) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.hold()
        assert "far end" in (await desk.state(call, "held")).reason
        since = len(desk.events)
        await alice.resume()
        await desk.state(call, "connected", since=since)
        await settle(1.5)
        assert_both_heard(desk, call, alice, phone_hertz=440)


async def test_a_blind_transfer_joins_the_caller_with_the_extension_and_frees_us(registrar, desk):
    async with (
        Phone("alice", registrar, tone=440) as alice,
        Phone("carol", registrar, tone=700, answers="auto") as carol,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        desk.telephone.transfer(call, "carol")
        await desk.state(call, "transferring")
        assert (await desk.state(call, "ended")).reason == "transferred"
        await carol.event("CALL_ESTABLISHED")
        await settle(1.5)
        samples, rate = alice.heard()
        assert dominant_hertz(samples[-rate:], rate) == pytest.approx(700, abs=5)


async def test_a_transfer_to_nobody_leaves_the_call_with_us(registrar, desk):
    async with Phone("alice", registrar, tone=440) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        since = len(desk.events)
        desk.telephone.transfer(call, "nobody")
        report = await desk.state(call, "connected", since=since)
        assert "transfer failed" in report.reason
        assert report.code == 404
        assert desk.telephone.counters()["calls_now"] == 1


async def test_we_follow_when_the_far_end_transfers_us(registrar, desk):
    async with (
        Phone("alice", registrar, tone=440) as alice,
        Phone("carol", registrar, tone=700, answers="auto") as carol,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(f"sip:carol@{registrar.server}")
        await carol.event("CALL_ESTABLISHED")
        await settle(2.0)
        assert not desk.of(CallReport, call=call, state="ended")
        assert_both_heard(desk, call, carol, phone_hertz=700)


async def test_an_attended_transfer_hands_the_call_on_without_ending_it():
    async with Desk(codecs=("PCMU",)) as desk:
        answering = asyncio.create_task(desk.pick_up())
        first = RawCaller(desk.settings["port"])
        await asyncio.to_thread(first.__enter__)
        call = await answering
        second = RawCaller(desk.settings["port"], user="boss", replaces=first)
        await asyncio.to_thread(second.__enter__)
        await settle(0.5)
        frames = len(desk.ears[call].frames)
        second.speak(PULSE)
        await settle(0.5)
        assert len(desk.ears[call].frames) >= frames + 20
        assert int(np.abs(desk.heard(call, 600)).max()) > 10_000
        assert {payload[0] for _, payload in second.arrived[-5:]} != {0xFF}
        assert not desk.of(CallReport, call=call, state="ended")
        await asyncio.to_thread(second.__exit__, None, None, None)
        await desk.state(call, "ended")
        await asyncio.to_thread(first.__exit__, None, None, None)


async def test_srtp_is_spoken_when_it_is_mandatory(registrar):
    async with (
        Desk(server=registrar.server, user="handset", srtp="mandatory") as desk,
        Phone("alice", registrar, tone=440, srtp=True) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(2.0)
        assert_both_heard(desk, call, alice, phone_hertz=440)


async def test_a_phone_without_srtp_is_refused_when_it_is_mandatory(registrar):
    async with (
        Desk(server=registrar.server, user="handset", srtp="mandatory") as desk,
        Phone("alice", registrar) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        assert "488" in (await alice.event("CALL_CLOSED"))["param"]
        assert not desk.of(CallReport, state="connected")


async def test_over_tcp_calls_go_both_ways(registrar):
    settings = {"server": registrar.server, "user": "handset", "transport": "tcp"}
    async with (
        Desk(timing=Timing(keep_alive=1.0), **settings) as desk,
        Phone("bob", registrar, tone=600, answers="auto") as bob,
    ):
        await settle(2.5)
        call = await desk.dial("bob")
        await desk.state(call, "connected")
        await settle(1.5)
        assert_both_heard(desk, call, bob, phone_hertz=600)
        desk.telephone.hang_up(call)
        await desk.state(call, "ended")
        since = len(desk.events)
        await bob.dial(f"sip:handset@{registrar.server}")
        await desk.pick_up(since=since)


async def test_two_calls_at_once_do_not_hear_each_other(registrar, desk):
    async with Phone("alice", registrar, tone=440) as alice, Phone("bob", registrar, tone=600) as bob:
        await alice.dial(f"sip:handset@{registrar.server}")
        first = await desk.pick_up()
        since = len(desk.events)
        await bob.dial(f"sip:handset@{registrar.server}")
        second = await desk.pick_up(since=since)
        await settle(2.0)
        assert dominant_hertz(desk.heard(first, 1000), RATE) == pytest.approx(440, abs=5)
        assert dominant_hertz(desk.heard(second, 1000), RATE) == pytest.approx(600, abs=5)


async def test_a_wav_played_by_sipp_with_digest_through_the_registrar_is_heard(registrar, desk, tmp_path):
    seconds = 3
    pcm = (0.3 * 32767 * np.sin(2 * np.pi * 500 * np.arange(8000 * seconds) / 8000)).astype(np.int16)
    xml = sip_scenarios.caller(
        f"handset@{registrar.server}", "sipp", registrar.server, hold_ms=seconds * 1000, audio="tone.al"
    )
    async with Scenario(xml, registrar.server, files={"tone.al": sip_scenarios.a_law(pcm)}) as scenario:
        call = await desk.pick_up()
        await settle(2.0)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(500, abs=5)
        assert await scenario.finished() == 0, scenario.log()
        await desk.state(call, "ended")


async def test_a_phone_dials_the_appliance_directly_when_there_is_no_account(tmp_path: Path):
    wav = write_tone(tmp_path / "speech.wav", 800, 10)
    async with Desk() as desk, Phone("alice", speaks=wav) as alice:
        await alice.dial(desk.uri)
        call = await desk.pick_up()
        await settle(2.0)
        assert_both_heard(desk, call, alice, phone_hertz=800)
        assert desk.of(IncomingCall)[0].source == f"127.0.0.1:{alice.port}"


async def test_a_peer_that_vanishes_without_bye_is_noticed_by_its_silence(registrar):
    timing = Timing(media_timeout=3.0)
    async with (
        Desk(server=registrar.server, user="handset", timing=timing) as desk,
        Phone("alice", registrar) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(1.0)
        await alice.vanish()
        assert (await desk.state(call, "ended", seconds=8)).reason == "media timeout"


async def test_a_hold_that_meets_an_offer_of_theirs_is_tried_again():
    def collides(port: int) -> str:
        with RawCaller(port) as caller:
            caller.refuse_offer("491 Request Pending")
            return caller.be_offered()

    async with Desk() as desk:
        theirs = asyncio.create_task(asyncio.to_thread(collides, desk.settings["port"]))
        call = await desk.pick_up()
        desk.telephone.hold(call)
        assert await theirs == "sendonly"
        assert not desk.of(NoticeReport)


async def test_a_hold_that_the_far_end_refuses_is_told():
    def refuses(port: int) -> None:
        with RawCaller(port) as caller:
            caller.refuse_offer("488 Not Acceptable Here")
            time.sleep(0.5)

    async with Desk() as desk:
        theirs = asyncio.create_task(asyncio.to_thread(refuses, desk.settings["port"]))
        call = await desk.pick_up()
        desk.telephone.hold(call)
        notice = await desk.until(NoticeReport, call=call, code="call_command_refused")
        assert "488" in notice.message
        await theirs


async def test_a_far_end_that_asks_whether_a_call_is_up_is_told_so_until_it_is_over():
    def asks(port: int) -> list[str]:
        timed = "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n"
        with RawCaller(port, headers=timed) as caller:
            assert "\nSession-Expires: 90;refresher=uas" in caller.answer
            told = [caller.ask("OPTIONS"), caller.ask("INFO"), caller.ask("BYE")]
            caller.leave_unsaid()
            time.sleep(0.5)
            told += [caller.ask("OPTIONS"), caller.ask("INVITE")]
        with pytest.raises(ConnectionRefusedError, match="422"):
            RawCaller(port, headers="Supported: timer\r\nSession-Expires: 10\r\n").__enter__()
        return told

    async with Desk() as desk:
        theirs = asyncio.create_task(asyncio.to_thread(asks, desk.settings["port"]))
        await desk.pick_up()
        assert [line.split(" ")[1] for line in await theirs] == ["200", "200", "200", "481", "481"]
