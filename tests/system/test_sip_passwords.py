"""Whom the account's password, or a digest of it, is shown to: its own server, and no other host that asks."""

import asyncio

import pytest

from appliance.interfaces import CallReport, NoticeReport, RegistrationReport
from tests.rig.asking_host import AskingHost
from tests.rig.scripted_registrar import CHALLENGE, Reply, ScriptedRegistrar
from tests.rig.sip_desk import Desk

pytestmark = pytest.mark.system


async def test_a_host_that_is_not_the_server_gets_no_digest_and_the_server_does():
    with ScriptedRegistrar([Reply(401, CHALLENGE)]) as registrar:
        async with Desk(server=registrar.server, user="handset", password="secret", mailbox=True) as desk:
            await desk.until(RegistrationReport, state="registered")
            notice = await desk.until(NoticeReport)
            assert notice.code == "mailbox_refused"
            assert "489" in notice.message
            assert "\nAuthorization: Digest" in registrar.registers[-1][1]
            for code in (401, 407):
                with AskingHost("127.0.0.2", code) as stranger:
                    call = desk.telephone.dial(stranger.uri)
                    ended = await desk.until(CallReport, call=call, state="ended")
                    assert ended.code == 403
                    assert await asyncio.to_thread(stranger.acknowledged.wait, 10)
                    assert len(stranger.invites) == 1
                    assert "uthorization" not in stranger.invites[0]
                notice = await desk.until(NoticeReport, call=call)
                assert notice.code == "password_asked_for"
                assert "127.0.0.2" in notice.message
                with AskingHost("127.0.0.1", code) as server:
                    call = desk.telephone.dial(server.uri)
                    assert (await desk.until(CallReport, call=call, state="ended")).code == 486
                    assert "uthorization: Digest" in server.invites[-1]
