"""The set-up page: what it shows, takes and refuses."""

import http.client
import re
import time
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.interfaces.network import FoundNetwork
from provisioning.draft import Draft, Note
from provisioning.portal.requests import Portal, Request, Response
from provisioning.portal.server import PageServer

ADDRESS = "10.42.0.1"


def page(check: object = None) -> Portal:
    networks = [FoundNetwork('Home & "Garden"', 80, secured=True), FoundNetwork("<b>", 30, secured=False)]
    return Portal("handset-3f2a", ADDRESS, "ticket", check or (lambda _: []), networks)  # type: ignore[arg-type]


def post(portal: Portal, **form: str) -> Response:
    body = urlencode({"ticket": "ticket", **form}).encode()
    return portal.answer(Request("POST", "/setup", ADDRESS, body))


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("connectivitycheck.gstatic.com", "/generate_204"),
        ("captive.apple.com", "/hotspot-detect.html"),
        ("www.msftconnecttest.com", "/connecttest.txt"),
        ("example.org", "/"),
        (ADDRESS, "/favicon.ico"),
    ],
)
def test_whatever_a_telephone_asks_for_leads_to_the_page(host, path):
    response = page().answer(Request("GET", path, host))
    assert (response.status, response.headers["Location"]) == (302, f"http://{ADDRESS}/")


def test_the_page_has_no_script_and_nothing_from_elsewhere():
    response = page().answer(Request("GET", "/", ADDRESS))
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.search(r"<script|javascript:|\son\w+=|https?://", response.body)
    assert "Home &amp; &quot;Garden&quot;" in response.body
    assert "<b>" not in response.body
    style = page().answer(Request("GET", "/style.css", ADDRESS))
    assert style.kind.startswith("text/css")
    assert "url(" not in style.body


def test_what_is_filled_in_becomes_settings():
    response = post(
        page(), ssid="home", wifi_password=" long enough ", country="at", name="Hall", sip_server="pbx", sip_user="1",
        sip_password="pw", sip_transport="tls", provider="openai", key="sk-x",
    )  # fmt: skip
    assert response.taken is not None
    assert response.taken.tree == {
        "device": {"name": "Hall"},
        "sip": {"enabled": True, "server": "pbx", "user": "1", "password": "pw", "transport": "tls"},
        "providers": {"openai": {"api_key": "sk-x"}},
    }
    (network,) = response.taken.system.networks
    assert (network.ssid, network.password) == ("home", " long enough ")


def test_a_fault_is_shown_on_the_page_which_keeps_everything_but_secrets():
    response = post(
        page(), ssid_other="Home <2>", wifi_password="short", sip_server="pbx", sip_password="hush-hush"
    )
    assert (response.status, response.taken) == (422, None)
    assert "it has 5 characters" in response.body
    assert 'value="Home &lt;2&gt;"' in response.body
    assert "hush-hush" not in response.body
    assert "short" not in response.body


def test_faults_of_the_configurations_own_rules_are_shown_too():
    portal = page(lambda _: [Note("is not TOML", "sip.server", kind="fault")])
    assert "sip.server: is not TOML" in post(portal, ssid="home", wifi_password="long enough").body


def test_another_page_cannot_fill_it_in():
    body = urlencode({"ssid": "evil", "wifi_password": "long enough", "ticket": "guess"}).encode()
    response = page().answer(Request("POST", "/setup", ADDRESS, body))
    assert (response.status, response.taken) == (403, None)
    elsewhere = page().answer(Request("POST", "/setup", "evil.example.org", body))
    assert (elsewhere.status, elsewhere.taken) == (302, None)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request("PUT", "/", ADDRESS), 405),
        (Request("POST", "/other", ADDRESS, b"x"), 404),
        (Request("POST", "/setup", ADDRESS, b"x" * 20_000), 413),
        (Request("POST", "/setup", ADDRESS, b"\xff\xfe"), 400),
        (Request("POST", "/setup", ADDRESS, b"&".join(b"a=1" for _ in range(60))), 400),
    ],
)
def test_what_no_browser_sends_is_refused(request_, status):
    assert page().answer(request_).status == status


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.binary(max_size=300))
def test_no_request_breaks_the_page(host, path, body):
    for method in ("GET", "POST"):
        assert page().answer(Request(method, path, host, body)).status in range(200, 500)


@pytest.mark.slow
def test_over_a_real_socket_the_page_is_served_and_the_form_taken():
    taken: list[Draft] = []
    portal = Portal("handset", "127.0.0.1", "ticket", lambda _: [])

    def take(draft: Draft) -> None:
        time.sleep(0.05)  # its answer has gone by then, and the page may be closed
        taken.append(draft)

    server = PageServer(("127.0.0.1", 0), portal, lambda: None, take)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/", headers={"Host": "127.0.0.1"})
        response = connection.getresponse()
        assert (response.status, b"<form" in response.read()) == (200, True)
        body = urlencode({"ticket": "ticket", "ssid": "home", "wifi_password": "long enough"})
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/setup", body, {"Host": "127.0.0.1"})
        assert connection.getresponse().status == 200
    finally:
        server.close()
    assert [draft.system.networks[0].ssid for draft in taken] == ["home"]
