"""At a real NetworkManager (`make network`): it takes our connections as meant, and DHCP's option 66 is found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivers.network_nmcli import hotspot_keyfile
from provisioning.system import Wifi, Wired
from provisioning.wifi import wifi_keyfile, wired_keyfile

ROOT = os.environ.get("HANDSET_NETWORK_MANAGER", "")
pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not ROOT, reason="NetworkManager is fetched by make network"),
]
NETWORKS = [
    Wifi("Home net", "a secret passphrase"),
    Wifi("Café; 2", " lead\\ing #;end ", hidden=True),
    Wifi("7;8;", "long enough"),
    Wifi("open ", ""),
    Wifi("a\\b", "0123456789abcdef" * 4),
    Wifi("a;b=c", 'ab;cd=ef#gh"i'),
]
PROBE = """
import json, subprocess, sys, time
from pathlib import Path
from drivers.network_nmcli import NmcliNetwork
root = sys.argv[1]
nmcli = ("chroot", root, "nmcli")
network = NmcliNetwork(nmcli, Path(root) / "run/NetworkManager/system-connections")
status, began = network.status(), time.monotonic()
server = network.provisioning_server()
took = time.monotonic() - began
keys = "802-11-wireless.ssid,802-11-wireless-security.psk,802-11-wireless.hidden"
keys += ",ipv4.method,ipv4.addresses,ipv4.gateway,ipv4.dns"
def show(uuid):
    command = [*nmcli, "-s", "-e", "no", "-t", "-f", keys, "connection", "show", uuid]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split(":", 1) for line in told.splitlines())
listing = [*nmcli, "-t", "-f", "UUID", "connection", "show"]
uuids = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
print(json.dumps([status.online, status.radio, status.known, server, took, [show(one) for one in uuids]]))
"""


@pytest.fixture(scope="module")
def seen():
    connections = Path(ROOT) / "etc/NetworkManager/system-connections"
    texts = [wifi_keyfile(network) for network in NETWORKS]
    texts.append(wired_keyfile(Wired("eth7", ("192.168.9.20/24",), "192.168.9.1", ("192.168.9.1",))))
    texts.append(hotspot_keyfile("handset-3f2a", "12345678"))
    for number, text in enumerate(texts):
        path = connections / f"{number}.nmconnection"
        path.write_text(text)
        path.chmod(0o600)
    spaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    run = ["bash", "tests/rig/network_manager_run.sh", ROOT, "66,https://pbx.example.org:8443/phones/"]
    told = subprocess.run(
        [*spaces, *run, sys.executable, "-c", PROBE, ROOT],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def test_names_and_passwords_arrive_as_they_were_given(seen):
    arrived = {one["802-11-wireless.ssid"]: one for one in seen[5] if "802-11-wireless.ssid" in one}
    for network in NETWORKS:
        there = arrived[network.ssid]
        assert there.get("802-11-wireless-security.psk", "") == network.password
        assert there["802-11-wireless.hidden"] == ("yes" if network.hidden else "no")


def test_the_hotspot_shares_our_address(seen):
    hotspot = next(one for one in seen[5] if one.get("802-11-wireless.ssid") == "handset-3f2a")
    assert (hotspot["ipv4.method"], hotspot["ipv4.addresses"]) == ("shared", "10.42.0.1/24")


def test_an_address_by_hand_has_its_gateway_and_name_server(seen):
    wired = next(one for one in seen[5] if one["ipv4.addresses"] == "192.168.9.20/24")
    assert (wired["ipv4.gateway"], wired["ipv4.dns"]) == ("192.168.9.1", "192.168.9.1")


def test_a_cable_is_a_network_and_there_is_no_radio(seen):
    assert seen[:3] == [True, False, True]


def test_the_server_that_dhcp_names_for_telephones_is_found_though_networkmanager_does_not_ask(seen):
    assert seen[3] == "https://pbx.example.org:8443/phones/"
    assert seen[4] < 5.0
