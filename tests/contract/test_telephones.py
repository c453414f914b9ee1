"""The Telephone contract, kept by the real telephone and by the fake that other tests use."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.errors import UnknownName
from appliance.interfaces import CallReport, Telephone, TelephoneEvent, TelephoneReady
from tests.fakes.telephone import FakeTelephone
from tests.rig.peer import until
from tests.rig.ports import free_port, free_range


@dataclass
class Desk:
    telephone: Telephone
    events: list[TelephoneEvent] = field(default_factory=list)

    async def until(self, kind: type[TelephoneEvent], **fields: Any) -> None:
        def seen() -> bool:
            return any(
                isinstance(event, kind)
                and all(getattr(event, name) == value for name, value in fields.items())
                for event in self.events
            )

        await until(seen, 10.0, f"{kind.__name__} {fields}")


def real() -> Telephone:
    pytest.importorskip("pjsua2")
    from drivers.sip_pjsua2.client import Pjsua2Telephone

    first = free_range(8)
    ports = f"{first}-{first + 7}"
    return Pjsua2Telephone({"port": free_port(), "rtp_ports": ports, "codecs": ("PCMU",), "max_calls": 2})


@pytest.fixture(params=[FakeTelephone, pytest.param(real, marks=pytest.mark.system)], ids=["fake", "pjsua2"])
async def desk(request) -> AsyncIterator[Desk]:
    make: Callable[[], Telephone] = request.param
    desk = Desk(make())
    await desk.telephone.start(desk.events.append)
    await desk.until(TelephoneReady)
    yield desk
    await desk.telephone.stop()


async def test_it_says_where_it_listens(desk):
    ready = next(event for event in desk.events if isinstance(event, TelephoneReady))
    host, _, port = ready.address.rpartition(":")
    assert host
    assert int(port) > 0


@pytest.mark.parametrize(
    "command",
    [
        lambda telephone: telephone.ring("none"),
        lambda telephone: telephone.answer("none"),
        lambda telephone: telephone.reject("none", 486),
        lambda telephone: telephone.hang_up("none"),
        lambda telephone: telephone.hold("none"),
        lambda telephone: telephone.resume("none"),
        lambda telephone: telephone.transfer("none", "sip:a@127.0.0.1"),
        lambda telephone: telephone.join("none", "other"),
        lambda telephone: telephone.send_dtmf("none", "1"),
        lambda telephone: telephone.attach("none", lambda pcm, at: None, lambda samples: bytes(2 * samples)),
    ],
)
async def test_a_command_for_an_unknown_call_says_so(desk, command):
    with pytest.raises(UnknownName):
        command(desk.telephone)


async def test_a_dialled_call_has_an_id_and_ends_when_hung_up(desk):
    call = desk.telephone.dial(f"sip:nobody@127.0.0.1:{free_port()}")
    desk.telephone.hang_up(call)
    await desk.until(CallReport, call=call, state="ended")
    with pytest.raises(UnknownName):
        desk.telephone.hang_up(call)


async def test_two_calls_have_different_ids(desk):
    assert desk.telephone.dial("sip:a@127.0.0.1:9") != desk.telephone.dial("sip:b@127.0.0.1:9")


async def test_counters_are_numbers_and_the_lag_is_none_without_audio(desk):
    call = desk.telephone.dial("sip:a@127.0.0.1:9")
    assert desk.telephone.heard_lag_ms(call) == 0
    assert all(isinstance(value, int) for value in desk.telephone.counters().values())


async def test_stopping_ends_the_calls(desk):
    call = desk.telephone.dial("sip:a@127.0.0.1:9")
    await desk.telephone.stop()
    assert any(
        call in getattr(event, "calls", ()) or getattr(event, "state", "") == "ended" for event in desk.events
    )


async def test_the_rate_is_16_khz(desk):
    assert desk.telephone.rate == 16_000
