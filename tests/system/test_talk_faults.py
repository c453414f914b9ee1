"""What can go wrong around a running daemon does, and it goes on."""

import asyncio
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
from tests.rig.sip_garbage import datagrams
from tests.rig.sip_peers import Registrar, programs_missing
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end
from tests.rig.telephone_sound import calling

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


KEEP_ALIVE_SECONDS = 10.0
_FAKE_TIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest_asyncio.fixture
async def registrar():
    async with Registrar() as registrar:
        yield registrar


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


async def answers_typed(handset: Handset) -> bool:
    code, out, err = await handset.run("ask", "what is two plus three")
    assert code == 0, err
    return "5" in out or "five" in out


async def test_a_vanished_peer_a_restarted_registrar_garbage_and_a_killed_sip_process(registrar):
    """One daemon through all of it: each must leave it able to take the next call."""
    sip = {"server": registrar.server, "user": "handset", "max_calls": 4, "expiry": 30}
    async with Handset(sip=sip) as handset:
        client, uri = handset.client, f"sip:handset@{registrar.server}"
        await client.event("registration", state="registered")

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


async def test_sigterm_in_mid_call_says_bye(tmp_path):
    async with TalkingPhone("alice") as alice:
        handset = Handset(sip={})
        async with handset:
            await connected(handset, alice, handset.uri)
            ear = alice.ear()
            await alice.say("what can you do")
            await until(lambda: len(ear()) and abs(ear().astype("int32")).max() > 2000, 20, "it speaks")
            await handset.end()
            closed = await alice.event("CALL_CLOSED", 5)
        assert "CALL_CLOSED" in str(closed)


async def test_a_wrong_password_is_told_once_and_not_repeated_fast():
    """A UDP sink plays the registrar: it refuses every REGISTER, and counts."""
    with _Refuser() as refuser:
        sip = {"server": f"127.0.0.1:{refuser.port}", "user": "handset", "password": "not-the-right-one"}
        async with Handset(sip=sip, ready=False) as handset:
            await handset.client.event("registration", 30, state="failed")
            tried = len(refuser.requests)
            since = handset.client.mark
            await breathe(6)
            assert len(refuser.requests) <= tried + 1, "a refused password is tried again and again"
            assert len(handset.client.of("registration", since, state="failed")) == 0
            assert len(handset.client.of("registration", state="failed")) == 1
            assert handset.client.of("registration", state="failed")[0]["code"] in (401, 403)
            assert (await handset.page("/live"))[0] == 200
            assert (await handset.page("/ready"))[0] == 503
            assert await answers_typed(handset)
            assert handset.text().lower().count("401") + handset.text().lower().count("403") <= 3, (
                handset.text()
            )


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


async def test_a_broken_database_is_moved_aside_and_a_new_one_begun(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "handset.db").write_bytes(random.Random(1).randbytes(20_000))
    async with Handset(directory=state) as handset:
        assert await answers_typed(handset)
        await until(lambda: len(list(state.glob("handset.db*"))) > 1, 10)
        aside = [path for path in state.iterdir() if path.stat().st_size == 20_000]
        assert len(aside) == 1, list(state.iterdir())
        assert "damaged: moved to" in handset.text(), handset.text()
        sessions = (await handset.client.ask("history.list"))["sessions"]
        assert len(sessions) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
async def test_a_full_disk_stops_the_history_with_one_warning_and_talking_goes_on(tmp_path):
    with _small_disk(tmp_path / "disk") as state:
        async with Handset(directory=state) as handset:
            assert await answers_typed(handset)
            _fill(state / "ballast")
            for _ in range(3):
                assert await answers_typed(handset)
            warnings = await until_warned(handset)
            assert len(warnings) == 1, warnings
            assert warnings[0]["hint"]
            assert (await handset.page("/live"))[0] == 200


async def until_warned(handset: Handset) -> list[Event]:
    await until(lambda: handset.client.of("warning"), 20, f"a warning: {handset.text()}")
    return handset.client.of("warning")


async def test_a_clock_that_jumps_neither_ends_a_call_nor_rings_a_timer():
    library = _FAKE_TIME
    if library is None:
        pytest.skip("not installed: libfaketime")
    handset = Handset(sip={}, environ=_false_clock(library))
    _jump(handset, "+0")
    async with handset, TalkingPhone("alice") as alice:
        call = await connected(handset, alice, handset.uri)
        assert (await handset.run("ask", "set a timer for ten minutes"))[0] == 0
        since = handset.client.mark
        _jump(handset, "+3h")
        await breathe(1.5)
        _jump(handset, "-2d")
        await breathe(1.5)
        assert not handset.client.of("call", since, call=call, state="ended")
        assert not handset.client.of("notification", since)
        assert (await handset.page("/ready"))[0] == 200
        assert await answers_typed(handset)


def _false_clock(library: Path) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}


def _jump(handset: Handset, by: str) -> None:
    (handset.directory / ".faketimerc").write_text(by + "\n")


async def _fails_to_start(handset: Handset) -> tuple[int, str]:
    """Run it until it ends by itself; exit code and what it said."""
    handset.config.write_text(toml(handset.sections))
    code, out, err = await handset.run("run", seconds=30)
    await handset.stop()
    return code, out + err


class _Refuser:
    """Answers every REGISTER: the first with a challenge, those with an answer to it with another challenge."""

    def __init__(self) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port = self._socket.getsockname()[1]
        self.requests: list[float] = []

    def __enter__(self):
        self._over = False
        self._task = asyncio.get_running_loop().run_in_executor(None, self._serve)
        return self

    def __exit__(self, *_):
        self._over = True

    def _serve(self) -> None:
        while not self._over:
            with contextlib.suppress(TimeoutError):
                request, source = self._socket.recvfrom(8192)
                text = request.decode("utf-8", "replace")
                if text.startswith("REGISTER"):
                    self.requests.append(time.monotonic())
                    self._socket.sendto(_challenge(text), source)
        self._socket.close()


def _challenge(request: str) -> bytes:
    kept = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq|v|f|i):", line)]
    to = next(line for line in request.split("\r\n") if re.match(r"(?i)(to|t):", line))
    nonce = f'WWW-Authenticate: Digest realm="here", nonce="{time.monotonic_ns()}", algorithm=MD5'
    lines = ["SIP/2.0 401 Unauthorized", *kept, f"{to};tag=refuser", nonce, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


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
