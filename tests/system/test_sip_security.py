"""TLS to a registrar with its certificate checked, and SRTP: off, optional and mandatory."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.interfaces import CallReport, NoticeReport, RegistrationReport, TelephoneReady
from drivers.sip_pjsua2.client import library_report
from tests.rig.authority import Authority
from tests.rig.raw_caller import RawCaller
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, programs_missing, tls_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]
needs_tls = [
    pytest.mark.skipif(tls_missing(), reason="not installed: kamailio-tls-modules"),
    pytest.mark.skipif(
        not programs_missing() and library_report()["old_openssl"],
        reason="the SIP library's OpenSSL is out of support: make pjsua2 makes a sound one",
    ),
]


def over_tls(registrar: Registrar, authority: Authority, **more: Any) -> dict[str, Any]:
    settings = {"server": f"localhost:{registrar.tls_port}", "user": "handset", "transport": "tls"}
    return {**settings, "ca": str(authority.file), **more}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def unregistered(**settings: Any) -> AsyncIterator[Desk]:
    """A desk that will not be registered."""
    desk = Desk(**settings)
    await desk.telephone.start(desk.post)
    try:
        await desk.until(TelephoneReady)
        yield desk
    finally:
        await desk.telephone.stop()


class TestTls:
    pytestmark = needs_tls

    async def test_it_registers_and_calls_go_both_ways_encrypted(self, authority):
        async with Registrar(authority.certify("localhost")) as registrar:
            srtp = {"srtp": "mandatory"}
            async with (
                Desk(**over_tls(registrar, authority, **srtp)) as desk,
                Phone("bob", registrar, tone=600, answers="auto", srtp=True) as bob,
            ):
                call = await desk.dial(f"sip:bob@127.0.0.1:{registrar.port}")
                await desk.state(call, "connected")
                await settle(1.5)
                assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(600, abs=5)
                desk.telephone.hang_up(call)
                await desk.state(call, "ended")

                since = len(desk.events)
                await bob.dial(f"sip:handset@{registrar.server}")
                call = await desk.pick_up(since=since)
                await settle(1.5)
                assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(600, abs=5)

    async def test_an_authority_that_is_not_ours_is_not_trusted(self, authority, tmp_path):
        stranger = Authority(tmp_path, "another authority")
        async with (
            Registrar(stranger.certify("localhost")) as registrar,
            unregistered(**over_tls(registrar, authority)) as desk,
        ):
            report = await desk.until(RegistrationReport, state="failed")
            assert "issuer" in report.reason
            assert "sip.ca" in report.hint

    async def test_without_an_own_authority_those_of_the_machine_decide(self, authority):
        async with (
            Registrar(authority.certify("localhost")) as registrar,
            unregistered(**over_tls(registrar, authority) | {"ca": ""}) as desk,
        ):
            assert "issuer" in (await desk.until(RegistrationReport, state="failed")).reason

    async def test_a_certificate_for_another_name_is_not_trusted(self, authority):
        async with (
            Registrar(authority.certify("pbx.example.org")) as registrar,
            unregistered(**over_tls(registrar, authority)) as desk,
        ):
            report = await desk.until(RegistrationReport, state="failed")
            assert "another name (pbx.example.org)" in report.reason
            assert "sip.server" in report.hint

    async def test_an_expired_certificate_is_not_trusted_and_told_once(self, authority):
        async with (
            Registrar(authority.certify("localhost", expired=True)) as registrar,
            unregistered(**over_tls(registrar, authority)) as desk,
        ):
            report = await desk.until(RegistrationReport, state="failed")
            assert "expired" in report.reason
            assert "clock" in report.hint
            await settle(4.0)
            assert [report.state for report in desk.of(RegistrationReport)] == ["trying", "failed"]

    async def test_a_certificate_that_was_renewed_is_taken_without_a_restart(self, authority):
        async with (
            Registrar(authority.certify("localhost", expired=True)) as registrar,
            unregistered(**over_tls(registrar, authority)) as desk,
        ):
            await desk.until(RegistrationReport, state="failed")
            await registrar.stop()
            registrar.certificate = authority.certify("localhost")
            await registrar.start()
            await desk.registered(seconds=15)

    async def test_an_authority_s_file_that_is_missing_fails_its_account_alone(self, authority):
        async with Registrar(authority.certify("localhost")) as registrar:
            further = {"far": over_tls(registrar, authority, ca="/no/such/file", user="other")}
            async with Desk(server=registrar.server, user="handset", accounts=further) as desk:
                report = await desk.until(RegistrationReport, account="far", state="failed")
                assert "/no/such/file" in report.reason

    async def test_accounts_over_udp_and_tls_live_side_by_side(self, authority):
        async with Registrar(authority.certify("localhost")) as registrar:
            further = {"far": over_tls(registrar, authority, user="other", password="pw-other")}
            async with (
                Desk(server=registrar.server, user="handset", accounts=further) as desk,
                Phone("bob", registrar, tone=600) as bob,
            ):
                await desk.until(RegistrationReport, account="far", state="registered")
                await bob.dial(f"sip:other@{registrar.server}")
                await desk.pick_up()


_KEY = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


class Offering(RawCaller):
    """Offers what a test says."""

    lines = ""
    profile = "RTP/AVP"

    def _offer(self, direction: str = "", connection: str = "127.0.0.1") -> str:
        return super()._offer(direction, connection).replace("RTP/AVP", self.profile) + self.lines


@pytest.mark.parametrize(
    ("srtp", "profile", "lines", "answer"),
    [
        ("off", "RTP/AVP", "", "RTP/AVP"),
        ("off", "RTP/SAVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {_KEY}\r\n", "488"),
        ("optional", "RTP/AVP", "", "RTP/AVP"),
        ("optional", "RTP/SAVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {_KEY}\r\n", "RTP/SAVP"),
        ("optional", "RTP/AVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {_KEY}\r\n", "crypto"),
        ("mandatory", "RTP/AVP", "", "488"),
        ("mandatory", "RTP/SAVP", "", "488"),
        ("mandatory", "RTP/SAVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {_KEY}\r\n", "RTP/SAVP"),
        ("mandatory", "RTP/SAVP", f"a=crypto:1 UNKNOWN_SUITE {_KEY}\r\n", "488"),
    ],
)
async def test_an_offer_is_answered_as_srtp_is_configured(srtp, profile, lines, answer):
    async with Desk(srtp=srtp, codecs=("PCMU",)) as desk:
        caller = Offering(desk.settings["port"])
        caller.lines, caller.profile = lines, profile
        if answer.isdigit():
            with pytest.raises(ConnectionRefusedError, match=answer):
                await asyncio.to_thread(caller.__enter__)
            assert not desk.of(CallReport, state="connected")
            notice = await desk.until(NoticeReport)
            assert (notice.code, notice.hint) == ("offer_refused", "see sip.srtp")
            return
        answering = asyncio.create_task(desk.pick_up())
        await asyncio.to_thread(caller.__enter__)
        await answering
        audio = re.search(r"(?s)m=audio \d+ (\S+)(.*)", caller.answer)
        assert audio is not None
        assert audio[1] == (profile if answer == "crypto" else answer)
        assert ("a=crypto:" in audio[2]) == (answer in ("crypto", "RTP/SAVP"))
        await asyncio.to_thread(caller.__exit__, None, None, None)
