"""Minutes are limited: a call is warned and ended politely, and who comes when the day's are used up is told so."""

import asyncio
import contextlib

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud
from tests.rig.control_client import ControlClient, Event
from tests.rig.sip_peers import programs_missing
from tests.rig.talking_phone import RATE, TalkingPhone, breathe

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

MINUTE = 60.0
WARNED_AT = 48.0
"""Of a limit of a minute, a fifth is left when it is told."""
SESSIONS = 6
"""Side by side, they use up a day's minute in ten seconds."""


async def line(client: ControlClient, session: str, code: str, seconds: float) -> Event:
    """One of the appliance's own lines was said to its end; its warning."""
    warned = await client.event("warning", seconds, session=session, code=code)
    await client.event(
        "transcript", 20, session=session, role="assistant", final=True, heard=warned["message"]
    )
    return warned


async def a_call_of_a_minute() -> None:
    async with (
        cloud("openai", sip={}, limits={"minutes_per_call": 1}) as (service, handset),
        TalkingPhone("alice") as alice,
    ):
        client = handset.client
        await alice.call(handset.uri)
        begun = await client.event("session.state", to="connecting")
        session, began = begun["session"], begun["at"]
        near = await line(client, session, "limit_near", MINUTE)
        assert near["at"] - began == pytest.approx(WARNED_AT, abs=5)

        await breathe(MINUTE - 1 - (near["at"] - began) - 3)
        service.will_hear("and how is the weather")
        service.will_say("The sun shines, and will do so all week long.", 4.0)
        ear = alice.ear()
        await alice.say("and how is the weather")
        over = await line(client, session, "limit_reached", 30)
        assert over["at"] - began >= MINUTE
        await assert_heard_whole(service, 0, 4.0, ear(), RATE)
        closed = await client.event("session.state", session=session, to="closed")
        assert closed["reason"] == "limit"
        await alice.event("CALL_CLOSED", 10)


async def a_day_of_a_minute() -> None:
    limits = {"minutes_per_day": 1}
    async with (
        cloud("openai", limits=limits, conversation={"max_sessions": SESSIONS}) as (_, handset),
        contextlib.AsyncExitStack() as clients,
    ):
        talks = []
        for _ in range(SESSIONS):
            client = await clients.enter_async_context(handset.client_of_own())
            talks.append((client, await client.open_session()))
        for client, session in talks:
            await line(client, session, "limit_near", MINUTE)
            await line(client, session, "limit_day", MINUTE)
            closed = await client.event("session.state", session=session, to="closed")
            assert closed["reason"] == "limit"
        await nobody_is_let_in(handset)
        await handset.end()
        await handset.start()
        await nobody_is_let_in(handset)


async def nobody_is_let_in(handset: Handset) -> None:
    async with handset.client_of_own() as client:
        session = await client.open_session()
        await line(client, session, "limit_day", 20)
        await client.event("session.state", session=session, to="closed", reason="limit")
        assert not client.of("session.state", session=session, to="active")
    assert (await handset.client.state())["limits"]["minutes_today"] >= 1


async def test_a_calls_minute_and_a_days_minute_are_told_before_they_end_politely():
    async with asyncio.TaskGroup() as appliances:
        appliances.create_task(a_call_of_a_minute())
        appliances.create_task(a_day_of_a_minute())
