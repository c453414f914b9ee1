"""The network changes: other addresses, none for a while, a router in between."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.interfaces import CallReport, IncomingCall, RegistrationReport, TelephoneLost
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig.namespace import Namespace, namespaces_missing, nat_missing
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, programs_missing
from tests.rig.tones import dominant_hertz
from tests.rig.turn import TurnServer, turn_missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
    pytest.mark.skipif(bool(namespaces_missing()), reason=namespaces_missing()),
]


@pytest.fixture
def there() -> Iterator[Namespace]:
    with Namespace() as there:
        yield there


@asynccontextmanager
async def desk_in(there: Namespace, registrar: Registrar, **settings: Any) -> AsyncIterator[Desk]:
    with there.inside():
        settings = {"bind": "", "server": registrar.server, "user": "handset"} | settings
        async with Desk(timing=Timing(keep_alive=1.0), **settings) as desk:
            yield desk


async def reachable(desk: Desk, phone: Phone, registrar: Registrar, seconds: float) -> str:
    """The call that comes in, once the registrar knows where we are."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        since = len(desk.events)
        await phone.dial(f"sip:handset@{registrar.server}")
        with contextlib.suppress(AssertionError):
            return str((await desk.until(IncomingCall, since=since, seconds=1.0)).call)
        await phone.hang_up()
    raise AssertionError(f"nobody can call within {seconds} s; {desk.events}")


def both_hear(desk: Desk, call: str, phone: Phone, hertz: float) -> bool:
    samples, rate = phone.heard()
    return (
        abs(dominant_hertz(desk.heard(call, 800), RATE) - hertz) < 5
        and abs(dominant_hertz(samples[-rate * 8 // 10 :], rate) - 1000) < 5
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_goes_on_and_the_next_one_comes_after_our_address_changed(there, transport):
    async with (
        Registrar(host=there.host) as registrar,
        Phone("bob", registrar, tone=600, host=there.host) as bob,
        Phone("carol", registrar, tone=700, host=there.host) as carol,
        desk_in(there, registrar, transport=transport) as desk,
    ):
        await bob.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(1.5)
        assert both_hear(desk, call, bob, 600)

        there.move()
        moved = time.monotonic()
        frames = len(desk.ears[call].frames)
        await settle(0.5)
        while time.monotonic() - moved < 10:
            await settle(0.25)
            if len(desk.ears[call].frames) > frames and both_hear(desk, call, bob, 600):
                break
        assert both_hear(desk, call, bob, 600)
        assert desk.of(CallReport, call=call, state="ended") == []
        assert desk.of(TelephoneLost) == []

        await reachable(desk, carol, registrar, 8)
        since = len(desk.events)
        await bob.hang_up()
        await desk.state(call, "ended", since=since)


async def test_without_a_call_another_address_is_registered_within_seconds(there):
    async with (
        Registrar(host=there.host) as registrar,
        Phone("bob", registrar, tone=600, host=there.host) as bob,
        desk_in(there, registrar) as desk,
    ):
        await settle(1.0)
        there.move()
        call = await reachable(desk, bob, registrar, 10)
        since = len(desk.events)
        desk.attach(call)
        desk.telephone.answer(call)
        await desk.state(call, "connected", since=since - 1)
        await settle(1.5)
        assert both_hear(desk, call, bob, 600)


async def test_a_network_that_is_away_for_a_while_costs_no_restart_and_no_call(there):
    async with (
        Registrar(host=there.host) as registrar,
        Phone("bob", registrar, tone=600, host=there.host) as bob,
        desk_in(there, registrar) as desk,
    ):
        await bob.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(1.5)
        there.unplug()
        await settle(4.0)
        there.move()
        await settle(4.0)
        assert both_hear(desk, call, bob, 600)
        assert desk.telephone.counters()["restarts"] == 0
        await desk.until(RegistrationReport, state="registered", since=0)


@pytest.mark.skipif(bool(nat_missing()), reason=nat_missing())
class TestBehindARouter:
    @pytest.mark.skipif(turn_missing(), reason="not installed: coturn")
    @pytest.mark.parametrize("way", ["stun", "turn"])
    async def test_both_hear_each_other_by_what_stun_tells_and_by_what_turn_relays(self, way):
        """The far phone sends only where the session description says, as phones of other networks do."""
        with Namespace(nat=True, same_ports=way == "stun") as there:
            async with TurnServer(there.host) as turn:
                settings: dict[str, Any] = {"stun": (turn.server,)}
                if way == "turn":
                    login = {"turn_user": turn.user, "turn_password": turn.password}
                    settings = {"ice": True, "turn": turn.server, **login}
                async with (
                    Registrar(host=there.host) as registrar,
                    Phone("bob", registrar, tone=600, host=there.host, answers="auto") as bob,
                    desk_in(there, registrar, codecs=("PCMU",), **settings) as desk,
                ):
                    call = await desk.dial("bob")
                    await desk.state(call, "connected")
                    await settle(2.0)
                    assert both_hear(desk, call, bob, 600)
                    desk.telephone.hang_up(call)
                    await desk.state(call, "ended")
                    since = len(desk.events)
                    await bob.dial(f"sip:handset@{registrar.server}")
                    call = await desk.pick_up(since=since)
                    await settle(2.0)
                    assert both_hear(desk, call, bob, 600)

    async def test_calls_go_both_ways_and_the_registrar_is_told_the_outer_address(self):
        with Namespace(nat=True) as there:
            async with (
                Registrar(host=there.host) as registrar,
                Phone("bob", registrar, tone=600, host=there.host, answers="auto") as bob,
                desk_in(there, registrar) as desk,
            ):
                call = await desk.dial("bob")
                await desk.state(call, "connected")
                await settle(1.0)
                desk.telephone.hang_up(call)
                await desk.state(call, "ended")
                since = len(desk.events)
                await bob.dial(f"sip:handset@{registrar.server}")
                incoming = await desk.until(IncomingCall, since=since)
                assert incoming.source == registrar.server
                await asyncio.sleep(0.2)
