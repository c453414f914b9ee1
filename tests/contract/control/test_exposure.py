"""Where the control API may listen, and how."""

import asyncio
import shutil
import socket
import ssl
import subprocess

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin

from appliance.config.schema import Control
from appliance.control.protocol import Scope
from appliance.control.server import check_exposure, tls_context
from appliance.errors import ConfigurationInvalid, NotPossible
from tests.unit.control.parts import Desk, close_code, desk, receive


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    files = {"tls_certificate": str(directory / "c.pem"), "tls_key": str(directory / "k.pem")}
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [*words.split(), *names, "-out", files["tls_certificate"], "-keyout", files["tls_key"]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "", "kiosk.local"])
def test_beyond_this_machine_it_wants_tls_or_the_switch(bind):
    with pytest.raises(ConfigurationInvalid, match=r"control\.bind"):
        check_exposure(Control(bind=bind))
    check_exposure(Control(bind=bind, allow_plain=True))
    check_exposure(Control(bind=bind, tls_certificate="/c.pem"))


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_it_listens_without(bind):
    check_exposure(Control(bind=bind))


async def test_nothing_listens_when_the_configuration_is_refused(tmp_path):
    refused = Desk(tmp_path, bind="0.0.0.0")
    with pytest.raises(ConfigurationInvalid):
        await refused.server.start()
    await refused.server.stop()


def test_a_certificate_that_cannot_be_used_is_a_fault_of_the_configuration(tmp_path):
    (tmp_path / "c.pem").write_text("no certificate")
    for path in ("c.pem", "missing.pem"):
        with pytest.raises(ConfigurationInvalid, match="tls_certificate"):
            tls_context(Control(tls_certificate=str(tmp_path / path)))


async def test_a_port_in_use_is_told_with_a_hint(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Desk(tmp_path)
        settings = Control().model_copy(update={"port": taken.getsockname()[1]})
        vars(made.server)["_settings"] = settings
        with pytest.raises(NotPossible, match="cannot listen") as refused:
            await made.server.start()
    assert "another daemon" in refused.value.hint


async def test_another_machine_needs_a_token_even_when_none_is_paired(tmp_path):
    other = _own_address()
    async with desk(tmp_path, bind="0.0.0.0", allow_plain=True) as here:
        url = f"ws://{other}:{here.server.port}/v1"
        async with connect(url, proxy=None) as client:
            assert await close_code(client) == 4401
        secret = here.tokens.pair(Scope.OBSERVE, "x")
        async with connect(
            url, proxy=None, additional_headers={"Authorization": f"Bearer {secret}"}
        ) as client:
            assert (await receive(client))["type"] == "hello"


async def test_over_tls_the_same_port_speaks_only_tls(tmp_path, certificate):
    async with desk(tmp_path, **certificate) as here:
        trust = ssl.create_default_context(cafile=certificate["tls_certificate"])
        url = f"wss://localhost:{here.server.port}/v1"
        async with connect(
            url, ssl=trust, proxy=None, origin=Origin(f"https://localhost:{here.server.port}")
        ) as client:
            assert (await receive(client))["type"] == "hello"
        reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(b"GET /live HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"alive" not in await reader.read()
        writer.close()


def _own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address
