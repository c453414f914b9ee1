"""NetworkManager through its own command `nmcli`; passwords go through files of root, never through a command line."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from appliance.errors import DriverMissing, NotPossible
from appliance.interfaces.network import FoundNetwork, NetworkStatus
from drivers import network_inform

HOTSPOT: Final = "handset-hotspot"
ADDRESS: Final = "10.42.0.1"
_UUID: Final = "0d2b5a6e-1f57-4f0c-9a59-3f3f7a1c9e10"
_RUN: Final = Path("/run/NetworkManager/system-connections")
_SECONDS: Final = 45.0
_WIFI: Final = "802-11-wireless"
_SHOWN: Final = re.compile(r"^(?:GENERAL\.(\w+):(.*)|DHCP4\.OPTION\[\d+\]:(\w+) = (.*))$")
_FIELD: Final = re.compile(r"(?<!\\):")


Inform = Callable[[str, str, bytes, str], str]
"""Option 66 by interface, our address, hardware address and server."""


class NmcliNetwork:
    """Implements `Network`. `command` stands in for nmcli, `volatile` for where connections of this run go, `inform`
    for asking the DHCP server itself."""

    def __init__(
        self, command: Sequence[str] = ("nmcli",), volatile: Path = _RUN, inform: Inform = network_inform.ask
    ) -> None:
        self._command = tuple(command)
        self._inform = inform
        self._path = volatile / f"{HOTSPOT}.nmconnection"

    def status(self) -> NetworkStatus:
        devices = [row for row in self._table("DEVICE,TYPE,STATE,CONNECTION", "device") if len(row) == 4]
        online = any(
            kind in ("ethernet", "wifi") and state == "connected" and connection != HOTSPOT
            for _, kind, state, connection in devices
        )
        radio = any(kind == "wifi" and state != "unmanaged" for _, kind, state, _ in devices)
        connections = self._table("NAME,TYPE,AUTOCONNECT", "connection", "show")
        known = any(row[1:] == [_WIFI, "yes"] and row[0] != HOTSPOT for row in connections)
        return NetworkStatus(online, radio, known)

    def scan(self) -> Sequence[FoundNetwork]:
        found: dict[str, FoundNetwork] = {}
        rows = self._table("SSID,SIGNAL,SECURITY", "device", "wifi", "list", "--rescan", "yes")
        for ssid, signal, security in (row for row in rows if len(row) == 3):
            strength = int(signal) if signal.isdecimal() else 0
            if ssid and (ssid not in found or found[ssid].signal < strength):
                found[ssid] = FoundNetwork(ssid, strength, security not in ("", "--"))
        return sorted(found.values(), key=lambda network: -network.signal)

    def open_hotspot(self, ssid: str, password: str) -> str:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._path.touch(mode=0o600)
        self._path.write_text(hotspot_keyfile(ssid, password), encoding="utf-8")
        self._run("connection", "reload")
        self._run("connection", "up", HOTSPOT)
        return ADDRESS

    def close_hotspot(self) -> None:
        left = self._path.exists()
        self._path.unlink(missing_ok=True)
        # Where it was told before, and did not take note, it has the connection still.
        if left or any(row[:1] == [HOTSPOT] for row in self._table("NAME", "connection", "show")):
            self._run("connection", "reload")

    def provisioning_server(self) -> str:
        told = self._run("--terse", "--fields", "GENERAL.DEVICE,GENERAL.HWADDR,DHCP4", "device", "show")
        for lease in leases(told):
            # NetworkManager's own client leaves this option out; dhclient under it does not.
            if found := lease.get("tftp_server_name") or self._ask(lease):
                return found
        return ""

    def _ask(self, lease: Mapping[str, str]) -> str:
        try:
            hardware = bytes.fromhex(lease["HWADDR"].replace(":", ""))
            return self._inform(
                lease["DEVICE"], lease["ip_address"], hardware, lease["dhcp_server_identifier"]
            )
        except (KeyError, ValueError):
            return ""

    def reload(self) -> None:
        self._run("connection", "reload")

    def _table(self, fields: str, *command: str) -> list[list[str]]:
        told = self._run("--terse", "--escape", "yes", "--fields", fields, *command)
        return [
            [re.sub(r"\\(.)", r"\1", field) for field in _FIELD.split(line)]
            for line in told.splitlines()
            if line.strip()
        ]

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError as error:
            raise DriverMissing(
                "NetworkManager is not installed", hint="apt-get install network-manager"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise NotPossible(
                "NetworkManager does not answer", hint="systemctl status NetworkManager"
            ) from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).removeprefix("Error: ")
            raise NotPossible(f"NetworkManager: {said or 'failed'}", hint="journalctl -u NetworkManager")
        return done.stdout


def leases(told: str) -> Iterator[Mapping[str, str]]:
    """Of each device that `nmcli device show` tells about, what DHCP gave it, with its DEVICE and HWADDR."""
    device: dict[str, str] = {}
    for match in filter(None, map(_SHOWN.match, told.splitlines())):
        key, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        if key == "DEVICE" and device:
            yield device
            device = {}
        device[key] = value.replace("\\:", ":").strip("\"' ")
    if device:
        yield device


def hotspot_keyfile(ssid: str, password: str) -> str:
    """An access point with WPA2, whose guests get addresses from us; not joined by itself."""
    return (
        f"[connection]\nid={HOTSPOT}\nuuid={_UUID}\ntype=wifi\nautoconnect=false\n\n"
        f"[wifi]\nmode=ap\nband=bg\nssid={ssid}\n\n"
        f"[wifi-security]\nkey-mgmt=wpa-psk\nproto=rsn;\npairwise=ccmp;\npsk={password}\n\n"
        f"[ipv4]\nmethod=shared\naddress1={ADDRESS}/24\n\n[ipv6]\nmethod=disabled\n"
    )
