"""Who may come in and how many: tokens, their scopes, foreign pages, and the places that there are."""

import asyncio
import contextlib

import pytest

from appliance.control.limits import Limits
from appliance.control.protocol import Scope
from tests.unit.control.parts import ask, close_code, desk, receive


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
