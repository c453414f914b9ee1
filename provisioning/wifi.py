"""Networks as NetworkManager's keyfiles have them. Pure."""

import re
import uuid
from pathlib import PurePosixPath
from typing import Final

from provisioning.actions import Action, Run, WriteFile
from provisioning.system import Wifi, Wired

DIRECTORY: Final = PurePosixPath("/etc/NetworkManager/system-connections")
COUNTRY: Final = PurePosixPath("/etc/handset/wifi-country")
"""Read at each start: the radio forgets it."""
_NAMES: Final = uuid.UUID("6a1d6f0e-6f0a-4b8e-9d5e-5d6f9d1f3c11")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]([A-Za-z0-9_. -]*[A-Za-z0-9_.-])?")
RELOAD: Final = Run(("nmcli", "connection", "reload"))


def wifi_actions(networks: list[Wifi], country: str) -> list[Action]:
    """A keyfile for each network, first ones preferred; the country that the radio may be used in."""
    actions: list[Action] = []
    if country:
        actions.append(WriteFile(COUNTRY, f"{country}\n"))
        actions.append(Run(("iw", "reg", "set", country)))
    for rank, network in enumerate(networks):
        actions.append(WriteFile(DIRECTORY / _file(network.ssid), wifi_keyfile(network, 50 - rank), 0o600))
    if networks:
        actions += [Run(("rfkill", "unblock", "wifi")), RELOAD]
    return actions


def wired_actions(interfaces: list[Wired]) -> list[Action]:
    """A keyfile for each interface that has an address of its own."""
    actions: list[Action] = [
        WriteFile(DIRECTORY / f"handset-{one.interface}.nmconnection", wired_keyfile(one), 0o600)
        for one in interfaces
    ]
    return [*actions, RELOAD] if actions else []


def wifi_keyfile(network: Wifi, priority: int = 50) -> str:
    """WPA2 and WPA3 with a password, or an open network without one."""
    sections = {
        "connection": {
            "id": f"handset-{network.ssid}" if _PLAIN.fullmatch(network.ssid) else "handset-wifi",
            "uuid": str(uuid.uuid5(_NAMES, network.ssid)),
            "type": "wifi",
            "autoconnect-priority": str(priority),
        },
        "wifi": {"mode": "infrastructure", "ssid": _ssid(network.ssid), **_hidden(network)},
        "wifi-security": {"key-mgmt": "wpa-psk", "psk": _escaped(network.password)}
        if network.password
        else {},
        "ipv4": {"method": "auto"},
        "ipv6": {"method": "auto"},
    }
    return _keyfile(sections)


def wired_keyfile(wired: Wired) -> str:
    """Addresses by hand; of the family that has none, those that the network gives."""
    sections = {
        "connection": {
            "id": f"handset-{wired.interface}",
            "uuid": str(uuid.uuid5(_NAMES, f"wired {wired.interface}")),
            "type": "ethernet",
            "interface-name": wired.interface,
            "autoconnect-priority": "50",
        },
        "ipv4": _family(wired, ":", present=False),
        "ipv6": _family(wired, ":", present=True),
    }
    return _keyfile(sections)


def _family(wired: Wired, mark: str, *, present: bool) -> dict[str, str]:
    def of(texts: tuple[str, ...]) -> list[str]:
        return [text for text in texts if (mark in text) is present]

    addresses, gateway, servers = of(wired.addresses), of((wired.gateway,)), of(wired.name_servers)
    if not addresses:
        return {"method": "auto"}
    first = addresses[0] + (f",{gateway[0]}" if gateway and gateway[0] else "")
    numbered = {f"address{number}": text for number, text in enumerate([first, *addresses[1:]], 1)}
    return {"method": "manual", **numbered, **({"dns": ";".join(servers) + ";"} if servers else {})}


def _keyfile(sections: dict[str, dict[str, str]]) -> str:
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items())
        for name, keys in sections.items()
        if keys
    )


def _hidden(network: Wifi) -> dict[str, str]:
    return {"hidden": "true"} if network.hidden else {}


def _file(ssid: str) -> str:
    return f"handset-{uuid.uuid5(_NAMES, ssid).hex[:12]}.nmconnection"


def _ssid(ssid: str) -> str:
    """Any bytes may be a network's name: what a keyfile could take for something else is listed byte by byte."""
    return ssid if _PLAIN.fullmatch(ssid) else "".join(f"{byte};" for byte in ssid.encode())


def _escaped(text: str) -> str:
    """As GLib's key files want it: no white space at the ends, no lone backslash."""
    inner = text.replace("\\", "\\\\")
    left, right = len(inner) - len(inner.lstrip(" ")), len(inner) - len(inner.rstrip(" "))
    return "\\s" * left + inner.strip(" ") + "\\s" * (right if inner.strip(" ") else 0)
