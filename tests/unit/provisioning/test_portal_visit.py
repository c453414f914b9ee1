"""A visit to the set-up page over a network of its own, as NetworkManager opens and closes it."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from appliance.config.load import load
from appliance.errors import DriverMissing, NotPossible
from appliance.interfaces.network import FoundNetwork
from drivers.network_nmcli import NmcliNetwork
from provisioning.draft import Draft
from provisioning.effects import Effects
from provisioning.hotspot import (
    FIRST_SECONDS,
    JOIN_SECONDS,
    LATER_SECONDS,
)
from provisioning.portal.requests import Portal, Request, Response
from provisioning.portal.visit import LINGER_SECONDS, Visit, attend

ADDRESS = "10.42.0.1"


class Air:
    """A machine with one Wi-Fi radio, no cable, and a network in reach; NetworkManager is the stand-in."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.ran: list[tuple[str, ...]] = []
        self.connections = self.root / "etc/NetworkManager/system-connections"
        self.volatile = directory / "run"
        for path in (self.connections, self.volatile, self.root / "sys/class/net/wlan0"):
            path.mkdir(parents=True)
        (self.root / "sys/class/net/wlan0/address").write_text("b8:27:eb:12:3f:2a")
        self.file = directory / "world.json"
        world = {
            "devices": [["wlan0", "wifi"], ["eth0", "ethernet"]],
            "air": {"Home: 1": {"password": "long enough", "signal": 70}, "open": {"password": "", "signal": 90}},
            "cable": False, "active": "", "directories": [str(self.connections), str(self.volatile)],
        }  # fmt: skip
        self.file.write_text(json.dumps(world))
        fake = Path(__file__).parents[2] / "fakes/nmcli.py"
        self.command = (sys.executable, "-S", str(fake), str(self.file))
        self.network = NmcliNetwork(self.command, self.volatile)

    @property
    def world(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text()))

    def plug_in(self) -> None:
        self.file.write_text(json.dumps({**self.world, "cable": True}))


@pytest.fixture
def air(tmp_path):
    return Air(tmp_path)


def test_networks_in_reach_are_listed_strongest_first_with_colons_in_their_names(air):
    assert air.network.scan() == [
        FoundNetwork("open", 90, secured=False), FoundNetwork("Home: 1", 70, secured=True),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_hotspot_is_no_way_out(air):
    assert not air.network.status().online
    assert air.network.open_hotspot("handset-3f2a", "12345678") == ADDRESS
    assert air.world["active"] == "handset-hotspot"
    assert air.network.status() == type(air.network.status())(online=False, radio=True, known=False)
    air.network.close_hotspot()
    assert air.world["active"] == ""
    assert not list(air.volatile.iterdir())


def test_a_cable_is(air):
    air.plug_in()
    assert air.network.status().online


def test_what_networkmanager_refuses_is_told_in_its_words(air):
    air.file.write_text("{}")
    with pytest.raises(NotPossible, match="NetworkManager"):
        air.network.status()
    with pytest.raises(DriverMissing):
        NmcliNetwork(("no-such-nmcli",)).status()


def test_what_dhcp_names_for_telephones_is_shown_or_asked_for(air):
    asked: list[tuple[object, ...]] = []

    def inform(*about: object) -> str:
        asked.append(about)
        return "https://pbx.example.org/"

    network = NmcliNetwork(air.command, air.volatile, inform)
    assert network.provisioning_server() == ""
    lease = {"dhcp_server_identifier": "10.0.0.1", "ip_address": "10.0.0.7"}
    air.file.write_text(json.dumps({**air.world, "lease": lease}))
    assert network.provisioning_server() == "https://pbx.example.org/"
    assert asked == [("eth0", "10.0.0.7", bytes.fromhex("b827eb123f2a"), "10.0.0.1")]
    lease["tftp_server_name"] = "https://shown.example:8443/"
    air.file.write_text(json.dumps({**air.world, "lease": lease}))
    assert network.provisioning_server() == "https://shown.example:8443/"


@dataclass
class Pages:
    """In place of the server: hands on what browsers ask."""

    address: tuple[str, int]
    portal: Portal
    used: Callable[[], None]
    taken: Callable[[Draft], None]
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def fill_in(self, **form: str) -> Response:
        self.used()
        body = urlencode({"ticket": self.portal.ticket, **form}).encode()
        response = self.portal.answer(Request("POST", "/setup", ADDRESS, body))
        if response.taken is not None:
            self.taken(response.taken)
        return response


@pytest.fixture
def visit(air) -> Iterator[Visit]:
    found = Visit(air.network, Effects(air.root, lambda run: air.ran.append(run.command)), 0.0, Pages)
    yield found
    found.close()


def opened(visit: Visit) -> Pages:
    assert not visit.step(FIRST_SECONDS)
    pages = shown(visit)
    assert pages
    return pages


def was_closed(pages: Pages) -> bool:
    return pages.closed


def shown(visit: Visit) -> Pages | None:
    server = visit.server
    return server if isinstance(server, Pages) else None


def told(air: Air) -> dict[str, Any]:
    return dict(json.loads((air.root / "run/handset-setup.json").read_text()))


@pytest.mark.slow
def test_from_no_network_to_the_one_that_was_chosen(air, visit):
    pages = opened(visit)
    assert "Home: 1" in pages.portal.answer(Request("GET", "/", ADDRESS)).body
    code = re.search(r"password ([\d ]+)\.", told(air)["sentence"])
    assert code
    assert told(air)["waiting"]
    assert f"psk={code[1].replace(' ', '')}" in (air.volatile / "handset-hotspot.nmconnection").read_text()
    assert pages.fill_in(ssid="Home: 1", wifi_password="long enough", name="Hall").status == 200
    assert not visit.step(70.0)
    assert not visit.step(70.0 + LINGER_SECONDS - 1)
    assert not was_closed(pages)
    assert visit.step(70.0 + LINGER_SECONDS)
    assert was_closed(pages)
    assert air.world["active"].startswith("handset-")
    assert air.network.status().online
    sound = load(environ={}, root=air.root).sound
    assert sound is not None
    assert sound.device.name == "Hall"
    assert told(air)["sentence"] == "I have joined the network. My name there is handset 3 f 2 a."
    assert ("systemctl", "--no-block", "try-restart", "handset.service") in air.ran
    visit.close()
    assert (told(air)["ok"], told(air)["waiting"]) == (True, False)


@pytest.mark.slow
def test_each_network_has_a_password_of_its_own(air, visit):
    opened(visit)
    first = told(air)["sentence"]
    air.plug_in()
    visit.step(FIRST_SECONDS + 5)
    air.file.write_text(json.dumps({**air.world, "cable": False, "active": ""}))
    visit.step(FIRST_SECONDS + 10)
    visit.step(FIRST_SECONDS + 10 + LATER_SECONDS)
    assert shown(visit)
    assert told(air)["sentence"] != first


@pytest.mark.slow
def test_a_network_that_an_earlier_run_was_killed_over_is_gone_when_the_next_one_looks(air):
    air.network.open_hotspot("handset-3f2a", "12345678")
    air.plug_in()
    later = Visit(air.network, Effects(air.root, lambda run: None), 0.0, Pages)
    later.sweep()
    assert later.step(1.0)
    assert air.world["active"] != "handset-hotspot"
    assert not list(air.volatile.iterdir())


@pytest.mark.slow
def test_what_cannot_be_written_is_said_on_the_page_which_stays(air, visit):
    pages = opened(visit)
    (air.root / "etc/handset").write_text("in the way of settings")
    pages.fill_in(ssid="Home: 1", wifi_password="long enough", name="Hall")
    assert not visit.step(70.0)
    assert not visit.step(70.0 + LINGER_SECONDS)
    assert shown(visit) is pages
    assert "cannot be written" in pages.portal.answer(Request("GET", "/", ADDRESS)).body
    assert "not in force" in told(air)["sentence"]
    assert told(air)["waiting"]


@pytest.mark.slow
def test_ended_while_it_is_open_it_leaves_no_network_behind(air, visit):
    pages = opened(visit)
    visit.close()
    assert was_closed(pages)
    assert air.world["active"] == ""
    assert not (air.root / "run/handset-setup.json").exists()


@pytest.mark.slow
def test_a_wrong_password_brings_the_page_back_and_says_so(air, visit):
    opened(visit).fill_in(ssid="Home: 1", wifi_password="not the one")
    visit.step(70.0)
    at = 70.0 + LINGER_SECONDS
    visit.step(at)
    assert shown(visit) is None
    visit.step(at + JOIN_SECONDS)
    pages = shown(visit)
    assert pages
    assert "could not be joined" in pages.portal.answer(Request("GET", "/", ADDRESS)).body
    assert told(air)["sentence"].startswith("I could not join")
    pages.fill_in(ssid="Home: 1", wifi_password="long enough")
    visit.step(at + JOIN_SECONDS + 10)
    assert visit.step(at + JOIN_SECONDS + 10 + LINGER_SECONDS)


@pytest.mark.slow
def test_a_cable_ends_it(air, visit):
    pages = opened(visit)
    air.plug_in()
    assert visit.step(FIRST_SECONDS + 5)
    assert was_closed(pages)


@pytest.mark.slow
def test_a_networkmanager_that_is_gone_for_a_while_is_survived(air, visit):
    world = air.file.read_text()
    air.file.write_text("{}")
    assert not visit.step(FIRST_SECONDS)
    air.file.write_text(world)
    opened(visit)


@pytest.mark.slow
def test_a_network_whose_end_was_not_noted_is_closed_at_the_next_call(air):
    air.network.open_hotspot("handset-3f2a", "12345678")
    air.file.write_text(json.dumps({**air.world, "busy": 1}))
    with pytest.raises(NotPossible, match="Timeout"):
        air.network.close_hotspot()
    assert not list(air.volatile.iterdir())
    assert air.world["active"] == "handset-hotspot"
    air.network.close_hotspot()
    assert air.world["active"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_leaves_no_network_of_its_own_and_that_is_no_failure(air, visit, monkeypatch, sign):
    opened(visit)
    assert air.world["active"] == "handset-hotspot"
    monkeypatch.setattr(visit, "sweep", lambda: signal.raise_signal(sign))
    before = {stop: signal.signal(stop, signal.SIG_IGN) for stop in (signal.SIGTERM, signal.SIGINT)}
    try:
        attend(visit)
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
    assert air.world["active"] == ""
