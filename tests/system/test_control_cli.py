"""The command line against a real server on a real port."""

import asyncio
import contextlib
import io
import json
import os
import sys
from unittest import mock

import pytest

from appliance import cli
from appliance.control.protocol import Scope
from appliance.events import CallChanged
from tests.unit.control.parts import Desk, desk


@pytest.fixture
async def here(tmp_path):
    async with desk(tmp_path / "state") as running:
        yield running


async def handset(*words, here: Desk | None = None, environ=None):
    """Run the command, on a thread of this process; return its exit code, stdout and stderr."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("HANDSET_")}
    if here is not None:
        known["HANDSET_CONTROL__PORT"] = str(here.server.port)
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {**known, **(environ or {})}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        async with asyncio.timeout(30):
            code = await asyncio.to_thread(cli.main, words)
    return code, out.getvalue(), err.getvalue()


async def test_status_shows_the_snapshot_as_a_table_or_as_json(here):
    code, out, _ = await handset("status", here=here)
    assert code == 0
    assert "telephone     listening at 127.0.0.1:5060, registered at pbx" in out
    assert "microphone    on" in out
    assert "line          room" in out
    code, out, _ = await handset("status", "--json", here=here)
    assert code == 0
    assert json.loads(out)["registration"]["state"] == "registered"


async def test_ask_prints_the_answer(here):
    code, out, _ = await handset("ask", "what time is it", here=here)
    assert (code, out) == (0, "you said what time is it\n")
    assert list(here.lines.all) == ["room"]


async def test_ask_prints_the_last_answer_of_a_session_that_then_ends(here):
    code, out, err = await handset("ask", "hang up", here=here)
    assert (code, out, err) == (0, "you said hang up\n", "")


async def test_ask_says_that_it_was_asked_back_and_replies_yes_where_that_is_wished(here):
    code, out, err = await handset("ask", "shall I?", here=here)
    assert (code, out) == (0, "you said shall I?\n")
    assert "--yes" in err
    code, out, err = await handset("ask", "--yes", "shall I?", here=here)
    assert (code, out, err) == (0, "you said shall I?\nyou said yes\n", "")


async def test_room_verbs_do_what_they_say(here):
    assert (await handset("mute", "on", here=here))[0] == 0
    assert (await handset("volume", "70", here=here))[:2] == (0, "volume 70\n")
    assert (await handset("say", "dinner is ready", here=here))[0] == 0
    room = here.lines.line("room")
    assert (room.muted, room.volume) == (True, 70)
    assert room.session is not None
    assert room.session.done == [("say", "dinner is ready", True, "normal")]


async def test_saying_something_in_a_room_without_a_speaker_fails_and_says_why(here):
    here.lines.line("room").device = {}
    code, out, err = await handset("say", "dinner is ready", here=here)
    assert (code, out) == (1, "")
    assert "the line room has no speaker" in err
    code, out, _ = await handset("say", "dinner is ready", "--json", here=here)
    assert "warning" in json.loads(out)


async def test_status_tells_a_telephone_without_an_account_and_a_room_without_devices(here):
    here.calls.registration = {"state": "off", "server": ""}
    here.lines.line("room").device = {}
    _, out, _ = await handset("status", here=here)
    assert "telephone     listening at 127.0.0.1:5060\n" in out
    assert "microphone    none found" in out
    assert "duplex" not in out
    here.calls.fault = "port 5060 is in use"
    assert "telephone     down (port 5060 is in use)\n" in (await handset("status", here=here))[1]


async def test_call_answer_and_hangup_reach_the_telephone(here):
    code, out, _ = await handset("call", "sip:ann@pbx", here=here)
    assert (code, out) == (0, "call c2 to sip:ann@pbx\n")
    assert (await handset("answer", here=here))[0] == 0
    assert (await handset("hangup", "c2", "--json", here=here))[1] == '{"call": "c2"}\n'
    assert here.calls.done == [("dial", "sip:ann@pbx", ""), ("answer", "c1"), ("hang_up", "c2")]


async def test_record_begins_and_ends_the_recording_of_a_call(here):
    code, out, _ = await handset("record", "on", here=here)
    assert (code, out) == (0, "call c1 will be recorded\n")
    assert (await handset("record", "off", "c1", here=here))[1] == "call c1 is not recorded\n"
    assert here.calls.done == [("record", "c1", True), ("record", "c1", False)]


async def test_each_verb_about_calls_reaches_the_telephone(here, capsys, monkeypatch):
    # In this process: no verb here does more than send one command.
    monkeypatch.setenv("HANDSET_CONTROL__PORT", str(here.server.port))
    words = ("hold", "resume c1", "transfer 201 --summary", "dtmf 4711# c1", "reject", "dnd on")
    for line in words:
        more = ("Ann asks",) if line.endswith("--summary") else ()
        assert await asyncio.to_thread(cli.main, [*line.split(), *more]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    for part in ("c1 put on hold", "was sent 4711#", "busy tone"):
        assert part in told
    assert here.calls.done[-5:] == [
        ("hold", "c1"),
        ("resume", "c1"),
        ("transfer", "c1", "201", "blind"),
        ("dtmf", "c1", "4711#"),
        ("reject", "c1", 603),
    ]
    assert here.calls.do_not_disturb


async def test_call_with_wait_prints_the_states_and_fails_when_nobody_answers(here):
    async def busy():
        await here.until(lambda: "c2" in here.calls.live)
        await asyncio.sleep(0.1)
        for state, sip in (("ringing", 180), ("ended", 486)):
            here.bus.publish(
                CallChanged(
                    call="c2",
                    direction="out",
                    state=state,
                    peer="x",
                    code=sip,
                    reason="Busy Here" if sip > 200 else "",
                )
            )

    telling = asyncio.create_task(busy())
    code, out, _ = await handset("call", "x", "--wait", here=here)
    await telling
    assert (code, out) == (1, "ringing 180\nended 486 Busy Here\n")


async def test_tail_prints_events_until_it_is_interrupted(here):
    environ = {**os.environ, "HANDSET_CONTROL__PORT": str(here.server.port)}
    process = await asyncio.create_subprocess_exec(
        "env",
        "--default-signal=INT",  # a run of the tests in the background ignores it
        sys.executable,
        "-m",
        "appliance.cli",
        "tail",
        "--topics",
        "call.",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    await here.until(lambda: here.server.counters()["clients"] == 1)
    await asyncio.sleep(0.3)
    here.bus.publish(CallChanged(call="c1", direction="in", state="incoming", peer="sip:1@pbx"))
    assert process.stdout is not None
    async with asyncio.timeout(10):
        line = (await process.stdout.readline()).decode()
        process.send_signal(2)
        assert await process.wait() == 0
    assert "call" in line
    assert "state=incoming" in line


@pytest.mark.parametrize(
    "words", [("status",), ("say", "x"), ("ask", "x"), ("hangup",), ("volume", "3"), ("tail",)]
)
async def test_without_a_daemon_the_exit_code_is_3_with_a_hint(words):
    code, out, err = await handset(*words, environ={"HANDSET_ADDRESS": "127.0.0.1:9"})
    assert (code, out) == (3, "")
    assert "handset run" in err


async def test_what_is_refused_exits_with_4(here):
    secret = here.tokens.pair(Scope.OBSERVE, "display")
    code, _, err = await handset("status", here=here)
    assert code == 4
    assert "handset pair" in err
    environ = {"HANDSET_TOKEN": secret}
    assert (await handset("status", here=here, environ=environ))[0] == 0
    code, _, err = await handset("mute", "on", here=here, environ=environ)
    assert code == 4
    assert "scope" in err


async def test_what_fails_exits_with_1_and_what_is_wrong_with_2(here):
    assert (await handset("hangup", "c9", here=here))[0] == 1
    code, _, err = await handset("statsu", here=here)
    assert code == 2
    assert "did you mean 'status'?" in err
    assert (await handset("volume", "101", here=here))[0] == 2
    assert (await handset("mute", "maybe", here=here))[0] == 2


async def test_a_token_from_pair_opens_the_running_daemon_at_once(here, tmp_path):
    words = ("pair", "--directory", str(tmp_path / "state"), "--scope", "talk", "--name", "kitchen")
    code, out, _ = await handset(*words)
    assert code == 0
    secret = out.splitlines()[0].split()[1]
    assert f"#token={secret}" in out
    assert "\u2588" in out, "the QR code"
    assert (await handset("status", "--token", secret, here=here))[0] == 0
    assert (await handset("status", here=here))[0] == 4
    code, out, _ = await handset("pair", "--directory", str(tmp_path / "state"), "--list", "--json")
    assert [token["name"] for token in json.loads(out)] == ["kitchen"]
    assert secret not in out


async def test_a_server_that_hangs_up_is_not_running():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, _, err = await handset("status", "--address", f"127.0.0.1:{port}")
    server.close()
    await server.wait_closed()
    assert code == 3
    assert str(port) in err


@pytest.fixture
def config(here, tmp_path):
    """A configuration that names the server's port and is faulty elsewhere."""
    path = tmp_path / "handset.toml"
    path.write_text(f"[control]\nport = {here.server.port}\n[sip]\nenabled = 'faulty'\n")
    return path


async def test_the_address_comes_from_the_configuration_even_if_the_rest_is_faulty(config):
    assert (await handset("status", "--config", str(config)))[0] == 0
