"""What can go wrong around a running daemon does, and it goes on."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import pytest_asyncio

from tests.rig.answers import assert_tells_the_time
from tests.rig.appliance import Handset, toml
from tests.rig.control_client import Event
from tests.rig.peer import until
from tests.rig.ports import free_port
from tests.rig.scripted_registrar import Reply, ScriptedRegistrar
from tests.rig.shared import Shared
from tests.rig.sip_garbage import datagrams
from tests.rig.sip_peers import Registrar, programs_missing
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end
from tests.rig.telephone_sound import calling

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


KEEP_ALIVE_SECONDS = 10.0
_FAKE_TIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registrar():
    async with Registrar() as registrar:
        yield registrar


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(registrar):
    sip = {"server": registrar.server, "user": "handset", "max_calls": 4, "expiry": 30}
    async with Shared(lambda: Handset(sip=sip)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


async def connected(handset: Handset, phone: TalkingPhone, uri: str) -> str:
    """Dial; the call's id."""
    since = handset.client.mark
    await phone.call(uri)
    return str((await handset.client.event("call", since=since, state="connected"))["call"])


def _throw_garbage(port: int) -> None:
    """At a SIP port: everything from a stranger's address, and what is no INVITE from the registrar's as well.

    Some of the INVITEs are in order; an answered one that nobody acknowledges takes one of the library's four calls
    for a minute, so those from where calls are taken are left out.
    """
    for source, taken in (("127.0.0.2", b""), ("127.0.0.1", b"INVITE")):
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            for datagram in datagrams(random.Random(5), 300):
                if not taken or not datagram.startswith(taken):
                    sender.sendto(datagram, ("127.0.0.1", port))


async def asks_the_time(phone: TalkingPhone) -> None:
    await breathe(0.5)
    ear = phone.ear()
    await phone.say("what time is it")
    assert_tells_the_time(await heard_to_the_end(ear), RATE, time.time())


async def told(handset: Handset, text: str) -> str:
    """What is answered to what somebody types."""
    async with handset.client_of_own() as client:
        session = (await client.ask("session.open", line="client", sample_rate=16_000))["session"]
        await client.ask("text", session=session, text=text)
        return str((await client.answer(session))["text"])


async def answers_typed(handset: Handset) -> bool:
    answer = await told(handset, "what is two plus three")
    return "5" in answer or "five" in answer


async def test_a_vanished_peer_a_restarted_registrar_garbage_and_a_killed_sip_process(handset, registrar):
    """One daemon through all of it: each must leave it able to take the next call."""
    client, uri = handset.client, f"sip:handset@{registrar.server}"
    registered_at = time.monotonic()
    async with TalkingPhone("mallory", registrar) as mallory:
        abandoned = await connected(handset, mallory, uri)
        _throw_garbage(handset.sip_port)
        vanished_at = time.monotonic()
        await mallory.vanish()

    # Whether a registrar answers OPTIONS, and so can be missed, is known 10 s after the registration.
    await breathe(max(0.0, registered_at + KEEP_ALIVE_SECONDS + 1 - time.monotonic()))
    since = client.mark
    await registrar.stop(signal.SIGKILL)
    await client.event("registration", 60, since=since, state="failed")
    await registrar.start()
    await client.event("registration", 60, since=since, state="registered")

    ended = await client.event("call", 60, call=abandoned, state="ended")
    assert ended["reason"]
    assert ended["came"] - vanished_at < 60
    # A phone that the registrar knows only since its restart: the older one may be left with what it had learnt.
    async with TalkingPhone("bob", registrar) as bob:
        call = await connected(handset, bob, uri)
        await asks_the_time(bob)

        since = client.mark
        child = handset.sip_process()
        assert child is not None
        child.kill()
        lost = await client.event("call", 10, since=since, call=call, state="ended")
        assert lost["reason"]
        await client.event("registration", 30, since=since, state="registered")
        await bob.hang_up()
        await breathe(0.3)
        again = handset.sip_process()
        assert again is not None
        assert again.pid != child.pid
        await connected(handset, bob, uri)
        await asks_the_time(bob)
        assert (await handset.page("/ready"))[0] == 200


async def test_sigterm_in_mid_call_says_bye(handset, registrar):
    async with TalkingPhone("alice", registrar) as alice:
        await connected(handset, alice, f"sip:handset@{registrar.server}")
        ear = alice.ear()
        await alice.say("what can you do")
        await until(lambda: len(ear()) and abs(ear().astype("int32")).max() > 2000, 20, "it speaks")
        await handset.end()
        closed = await alice.event("CALL_CLOSED", 5)
    assert "CALL_CLOSED" in str(closed)


async def test_a_wrong_password_is_told_once_and_not_repeated_fast(handset):
    client, said = handset.client, len(handset.text())
    challenge = {"WWW-Authenticate": 'Digest realm="here", nonce="abc", algorithm=MD5'}
    with ScriptedRegistrar([Reply(401, challenge, times=1000)]) as refuser:
        await handset.reload(sip={"server": refuser.server, "password": "not-the-right-one"})
        assert (await client.event("registration", 30, state="failed"))["code"] == 401
        tried = len(refuser.registers)
        await breathe(6)
        assert len(refuser.registers) <= tried + 1, "a refused password is tried again and again"
        assert len(client.of("registration", state="failed")) == 1
        assert (await handset.page("/live"))[0] == 200
        assert (await handset.page("/ready"))[0] == 503
        assert await answers_typed(handset)
        assert handset.text()[said:].count("401") <= 3, handset.text()


async def test_a_sip_port_in_use_is_told_and_the_rest_works():
    with socket.socket(type=socket.SOCK_DGRAM) as squatter:
        port = free_port()
        squatter.bind(("127.0.0.1", port))
        async with Handset(sip={"port": port}, ready=False) as handset:
            await until(lambda: re.search(rf"\b{port}\b|in use", handset.text()), 20, "the log says so")
            status, text = await handset.page("/ready")
            assert status == 503
            assert "sip" in text.lower()
            assert await answers_typed(handset)
            squatter.close()
            await handset.ready(60)
            async with calling(port) as caller:
                assert caller.setup_seconds < 5


async def test_a_control_port_in_use_ends_the_start_with_a_word(tmp_path):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        handset = Handset(control={"port": squatter.getsockname()[1]})
        code, err = await _fails_to_start(handset)
    assert code == 1
    assert str(handset.sections["control"]["port"]) in err
    assert "in use" in err
    assert "Traceback" not in err
    assert not handset.state.exists()


async def test_ten_faults_are_all_told_and_nothing_is_started(tmp_path):
    handset = Handset(
        room={"enabled": "perhaps", "mode": "shouting", "perod_ms": 20},
        vad={"aggressiveness": 9},
        conversation={"max_sessions": 0, "providers": []},
        sip={"transport": "pigeon", "max_calls": 99, "servr": "x", "port": 5060},
        control={"port": 99_999},
        storage={"directory": str(tmp_path / "state")},
        lgo={"level": "info"},
    )
    code, err = await _fails_to_start(handset)
    assert code == 2
    for fault in (
        *("room.enabled", "room.mode", "room.perod_ms", "vad.aggressiveness", "conversation.max_sessions"),
        *("conversation.providers", "sip.transport", "sip.max_calls", "sip.servr", "control.port", "lgo"),
    ):
        assert fault in err, err
    assert err.count("did you mean") >= 3
    assert "Traceback" not in err
    assert not (tmp_path / "state").exists(), "something was started"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
async def test_a_broken_database_is_moved_aside_and_a_full_disk_stops_the_new_one_with_one_warning(tmp_path):
    with _small_disk(tmp_path / "disk") as state:
        (state / "handset.db").write_bytes(random.Random(1).randbytes(20_000))
        async with Handset(directory=state) as handset:
            assert await answers_typed(handset)
            await until(lambda: len(list(state.glob("handset.db*"))) > 1, 10)
            aside = [path for path in state.iterdir() if path.stat().st_size == 20_000]
            assert len(aside) == 1, list(state.iterdir())
            assert "damaged: moved to" in handset.text(), handset.text()
            sessions = (await handset.client.ask("history.list"))["sessions"]
            assert len(sessions) == 1

            def warnings() -> list[Event]:
                every = handset.client.of("warning")
                return [event for event in every if event["code"] != "store_damaged"]

            _fill(state / "ballast")
            for _ in range(3):
                assert await answers_typed(handset)
            await until(warnings, 20, f"a warning: {handset.text()}")
            assert len(warnings()) == 1, warnings()
            assert warnings()[0]["hint"]
            assert (await handset.page("/live"))[0] == 200


async def test_a_clock_that_jumps_neither_ends_a_call_nor_rings_a_timer():
    library = _FAKE_TIME
    if library is None:
        pytest.skip("not installed: libfaketime")
    handset = Handset(sip={}, environ=_false_clock(library))
    _jump(handset, "+0")
    async with handset, TalkingPhone("alice") as alice:
        call = await connected(handset, alice, handset.uri)
        assert "10 minutes" in (await told(handset, "set a timer for ten minutes"))
        since = handset.client.mark
        for by, seconds in (("+3h", 3 * 3600), ("-2d", -51 * 3600)):
            jumped = handset.client.mark
            _jump(handset, by)
            stepped = await handset.client.event("clock", since=jumped, state="stepped")
            assert stepped["by_seconds"] == pytest.approx(seconds, abs=10)
            await breathe(1.0)
        assert not handset.client.of("call", since, call=call, state="ended")
        assert not handset.client.of("notification", since)
        assert (await handset.page("/ready"))[0] == 200
        assert await answers_typed(handset)


def _false_clock(library: Path) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1"}


def _jump(handset: Handset, by: str) -> None:
    (handset.directory / ".faketimerc").write_text(by + "\n")


async def _fails_to_start(handset: Handset) -> tuple[int, str]:
    """Run it until it ends by itself; exit code and what it said."""
    handset.config.write_text(toml(handset.sections))
    code, out, err = await handset.run("run", seconds=30)
    await handset.stop()
    return code, out + err


@contextlib.contextmanager
def _small_disk(place: Path):
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
