"""Who gets an answer, who may call, and what an agent may dial: with real SIP at the whole daemon's port."""

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest
import pytest_asyncio

from appliance.interfaces import CallReport, IncomingCall, NoticeReport
from drivers.sip_pjsua2.client import library_report
from tests.rig.appliance import Handset
from tests.rig.cloud import cloud
from tests.rig.control_client import Event
from tests.rig.raw_caller import RawCaller
from tests.rig.services import OpenAiService
from tests.rig.shared import Shared
from tests.rig.sip_desk import Desk
from tests.rig.sip_peers import Phone, Registrar, programs_missing
from tests.rig.soft_caller import Nobody, SoftCaller

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

STRANGER = "127.0.0.2"
METHODS = ("OPTIONS", "INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "BYE", "CANCEL", "NONSENSE")


def request(method: str, source: str, port: int, to_tag: str = "") -> bytes:
    now = time.time_ns()
    return (
        f"{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{now}\r\n"
        f"From: <sip:scan@{source}>;tag=1\r\nTo: <sip:100@127.0.0.1>{to_tag}\r\nCall-ID: {now}\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:scan@{source}:{port}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def answers(source: str, port: int, methods: tuple[str, ...] = METHODS) -> list[str]:
    """What one second of waiting brings to all of them together."""
    with socket.socket(type=socket.SOCK_DGRAM) as link:
        link.bind((source, 0))
        for method in methods:
            link.sendto(request(method, source, link.getsockname()[1]), ("127.0.0.1", port))
            link.sendto(request(method, source, link.getsockname()[1], ";tag=9"), ("127.0.0.1", port))
        link.settimeout(1.0)
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(link.recv(4096).decode().split("\r\n", 1)[0])
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service():
    """What the agent is: it does what the tests have it do."""
    async with OpenAiService(in_daemon=True) as service:
        yield service
        assert service.violations == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registrar():
    async with Registrar() as registrar:
        yield registrar


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(service, registrar):
    sections: dict[str, Any] = {
        "sip": {"server": registrar.server, "user": "handset", "deny": ["666"], "allow": ["127.0.0.1"]},
        "limits": {"calls_per_minute": 2},
        "agents.assistant": {"tools": ["call", "hangup"]},
    }
    async with Shared(lambda: Handset(**sections, **service.daemon)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


async def test_a_scanner_hears_nothing_and_the_registrar_goes_on_being_served(handset, registrar):
    async with Phone("alice", registrar) as alice:
        assert await asyncio.to_thread(answers, "127.0.0.1", handset.sip_port, ("OPTIONS",))
        before, mark = await ignored(handset), handset.client.mark
        assert await asyncio.to_thread(answers, STRANGER, handset.sip_port) == []
        assert not handset.client.of("call", mark)
        # The counter comes with the next beat.
        if await ignored(handset) < before + 16:
            await asyncio.sleep(1.0)
        assert await ignored(handset) == before + 16
        assert "handset_sip_strangers_screened 1.0" in (await handset.page("/metrics"))[1]
        assert "requests of strangers get no answer" in handset.text()

        await alice.dial(f"sip:handset@{registrar.server}")
        await handset.client.event("call", state="connected")
        assert await asyncio.to_thread(answers, STRANGER, handset.sip_port) == []
        await alice.hang_up()
        await handset.client.event("call", state="ended")


async def ignored(handset: Handset) -> float:
    lines = (await handset.page("/metrics"))[1].splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("handset_sip_strangers_ignored "))


async def test_a_scanner_hears_nothing_over_tcp_either(registrar):
    desk = Desk(server=registrar.server, user="tcp", transport="tcp", strangers="silent")
    async with desk:
        desk.telephone.listen_to(["127.0.0.1"])
        port = desk.settings["port"]
        assert (await asyncio.to_thread(stream, "127.0.0.1", port)).startswith("SIP/2.0 200")
        assert await asyncio.to_thread(stream, STRANGER, port) == ""


def stream(source: str, port: int) -> str:
    """What an OPTIONS over TCP is answered within a second."""
    with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as link:
        here = link.getsockname()[1]
        link.sendall(request("OPTIONS", source, here).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP"))
        link.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            return link.recv(4096).decode()
        return ""


async def test_with_refuse_a_stranger_is_told_so():
    async with Desk(strangers="refuse") as desk:
        desk.telephone.listen_to(["127.0.0.9"])
        assert await asyncio.to_thread(answers, STRANGER, desk.settings["port"], ("OPTIONS",))


async def test_whom_we_called_may_hang_up_from_an_address_that_may_not_call():
    async with Desk(strangers="silent") as desk, Phone("bob", answers="auto") as bob:
        desk.telephone.listen_to(["192.0.2.1"])
        call = await desk.dial(bob.uri)
        await desk.state(call, "connected")
        assert await asyncio.to_thread(answers, "127.0.0.1", desk.settings["port"], ("OPTIONS",)) == []
        await bob.hang_up()
        await desk.until(CallReport, call=call, state="ended")


async def test_a_caller_who_calls_too_often_hears_480_and_a_denied_one_403(handset):
    def call(user: str) -> str:
        try:
            with RawCaller(handset.sip_port, user=user):
                time.sleep(0.2)
        except ConnectionRefusedError as error:
            return str(error)
        return "answered"

    async def calls(user: str) -> str:
        return await asyncio.to_thread(call, user)

    ann = f"ann{time.time_ns()}"
    assert await calls(ann) == "answered"
    assert await calls(ann) == "answered"
    assert "480" in await calls(ann)
    assert await calls("bob") == "answered"
    assert "403" in await calls("666")
    assert (await handset.client.event("warning", code="caller_too_often"))["hint"]
    assert (await handset.client.event("warning", code="caller_denied"))["hint"]


async def test_what_agents_may_dial_in_a_day_outlasts_a_restart():
    agent: dict[str, Any] = {"agents.assistant": {"tools": ["call"]}, "limits": {"dials_per_day": 1}}
    async with (
        cloud("openai", sip={"dial": ["sip:*@127.0.0.1"]}, **agent) as (service, handset),
        Nobody() as nobody,
    ):

        async def ask_for_a_call(says: str) -> Event:
            client = handset.client
            await client.ask("session.open", line="client", sample_rate=16_000)
            session = (await client.event("session.state", to="active"))["session"]
            service.will_call("call", {"to": nobody.uri}, says)
            await client.ask("text", session=session, text="call somebody")
            return await client.event("tool.result", 20, tool="call")

        assert "error" not in await ask_for_a_call("I am calling.")
        await handset.client.event("call", direction="out", state="ended")
        await handset.end()
        await handset.start()
        assert "error" in await ask_for_a_call("I may not do that any more today.")
        await handset.client.event("warning", code="dial_budget_used")
        assert not handset.client.of("call")


async def test_a_call_that_the_library_has_no_place_for_is_told_too():
    # As many as are configured, and two; the compiled limit of the wheel is this.
    places = min(4, int(library_report()["max_calls"]))
    async with contextlib.AsyncExitStack() as stack, Desk(max_calls=places - 2) as desk:
        for number in range(places):
            caller = await stack.enter_async_context(SoftCaller(desk.settings["port"], user=f"u{number}"))
            calling = asyncio.create_task(caller.call())
            stack.callback(calling.cancel)
            await desk.until(IncomingCall, peer=f"sip:u{number}@{caller.here}")
        late = await stack.enter_async_context(SoftCaller(desk.settings["port"], user="late"))
        assert await late.call() == 486
        notice = await desk.until(NoticeReport, code="no_place_for_call")
        assert "late@" in notice.message
        assert notice.hint


@pytest.mark.parametrize("to", ["112", "+49 112", "sip:911@127.0.0.1", "sip:bob@127.0.0.9:5999"])
async def test_the_model_cannot_dial_it_and_is_told_why(handset, service, to):
    client = handset.client
    await client.ask("session.open", line="client", sample_rate=16_000)
    session = (await client.event("session.state", to="active"))["session"]
    service.will_call("call", {"to": to}, "I may not do that.")
    await client.ask("text", session=session, text="call somebody")
    result = await client.event("tool.result", 20, tool="call")
    assert "error" in result
    code = "dial_not_allowed" if "bob" in to else "emergency_not_dialled"
    assert (await client.event("warning", code=code))["hint"]
    assert not client.of("call")
    # The person may: nobody listens there, but it is dialled.
    await client.ask("call.dial", to="sip:112@127.0.0.1:9")
    await client.event("call", state="dialing")
