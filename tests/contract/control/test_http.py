"""The HTTP side of the control port."""

import asyncio
import http.client
import json

import pytest

from appliance.config.schema import Configuration
from appliance.control.protocol import Scope
from appliance.doctor import CHECKS
from tests.unit.control.parts import receive
from tests.unit.control.test_health import parse


async def get(desk, path, method="GET", headers=None, body=None):
    def fetch():
        connection = http.client.HTTPConnection("127.0.0.1", desk.server.port, timeout=5)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(fetch)


async def test_live_answers_while_the_loop_turns(here):
    response, body = await get(here, "/live")
    assert (response.status, body) == (200, b"alive\n")


async def test_ready_waits_for_the_lines_and_says_for_which(here):
    part = here.health.part("room")
    part.failing("no microphone")
    response, body = await get(here, "/ready")
    assert (response.status, body) == (503, b"room: no microphone\n")
    part.ok()
    response, _ = await get(here, "/ready")
    assert response.status == 200


async def test_health_is_json_with_reasons(here):
    here.health.part("sip").failing("wrong password", "correct it")
    response, body = await get(here, "/health")
    assert response.getheader("Content-Type") == "application/json"
    report = json.loads(body)
    assert report["parts"]["sip"]["reason"] == "wrong password"
    assert report["parts"]["sip"]["hint"] == "correct it"
    assert report["reasons"] == ["sip: wrong password"]


async def test_doctor_tells_the_daemon_s_own_hint_where_there_is_one(here):
    here.health.part("sip").failing("wrong password", "correct it")
    here.health.part("room").failing("no microphone")
    configuration = Configuration.model_validate({"control": {"port": here.server.port}})
    [check] = [check for check in CHECKS if check.__name__ == "_daemon"]
    found = {one.check: one.remedy for one in await asyncio.to_thread(lambda: list(check(configuration)))}
    assert found["daemon sip"] == "correct it"
    assert found["daemon room"] == "see the log, and handset status"


async def test_metrics_parse(here):
    async with here.dial() as client:
        await receive(client)
        response, body = await get(here, "/metrics")
    assert response.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    assert parse(body.decode())["handset_control_clients"] == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/kiosk.js", "text/javascript"),
        ("/telephone.js", "text/javascript"),
        ("/kiosk.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
async def test_the_page_has_a_strict_policy_and_nothing_from_elsewhere(here, path, kind):
    response, body = await get(here, path)
    assert response.status == 200
    assert response.getheader("Content-Type").startswith(kind)
    policy = response.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert b"//cdn" not in body
    assert b"https://" not in body


async def test_the_page_needs_no_inline_code(here):
    _, body = await get(here, "/")
    assert b"<style" not in body
    assert b"onclick" not in body
    assert body.count(b"<script") == body.count(b'<script src="/')


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 426),
        ("POST", "/health", 405),
        ("DELETE", "/v1", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/web/index.html", 404),
        ("GET", "/live?x=1", 200),
    ],
)
async def test_other_requests_get_a_clear_error(here, method, path, status):
    response, _ = await get(here, path, method)
    assert response.status == status


async def test_head_is_get_without_the_body(here):
    whole, body = await get(here, "/")
    head, nothing = await get(here, "/", "HEAD")
    assert (head.status, nothing) == (200, b"")
    assert head.getheader("Content-Length") == whole.getheader("Content-Length") == str(len(body))


async def test_garbage_ends_the_connection_and_not_the_server(here):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
    writer.write(b"\x16\x03\x01 not http at all\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    response, _ = await get(here, "/live")
    assert response.status == 200


async def test_health_needs_a_token_when_it_is_called_by_another_name(here):
    headers = {"Host": "kiosk.local:8765"}
    response, _ = await get(here, "/health", headers=headers)
    assert response.status == 401
    secret = here.tokens.pair(Scope.OBSERVE, "prometheus")
    response, _ = await get(here, "/metrics", headers={**headers, "Authorization": f"Bearer {secret}"})
    assert response.status == 200
    response, _ = await get(here, "/ready", headers=headers)
    assert response.status == 200
