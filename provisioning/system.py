"""What a boot file may say of the machine itself: names, people, networks. Checked here, done elsewhere. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from appliance.config.placeholders import MESSAGE, is_placeholder, remedy

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HASH: Final = re.compile(r"\$(y|gy|7|6|5|2[abxy])\$[!-9;-~]{8,}")
_KEY: Final = re.compile(
    r"(?:\S+ )?(ssh-(ed25519|rsa)|ecdsa-sha2-\S+|sk-(ssh|ecdsa)-\S+) [A-Za-z0-9+/]{40,}={0,3}( .*)?"
)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_LOCALE: Final = re.compile(r"C\.UTF-8|[a-z]{2,3}_[A-Z]{2}(\.UTF-8)?(@[a-z]+)?")
_HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_KNOWN_PASSWORDS: Final = frozenset(
    {
        "raspberry",
        "password",
        "passwort",
        "handset",
        "admin",
        "12345678",
        "123456789",
        "qwertyuiop",
    }
)
SHORTEST_PASSWORD: Final = 8
RESERVED: Final = frozenset({"root", "handset", "daemon", "nobody", "systemd-network"})
Finding = tuple[str, str, str]
"""Which key, what is wrong with it, and the remedy."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. `password` is a hash of crypt(3) where `hashed`; empty: none, keys alone."""

    name: str
    password: str = field(default="", repr=False)
    hashed: bool = True
    keys: tuple[str, ...] = ()
    administrator: bool = True


@dataclass(frozen=True, slots=True)
class Wifi:
    """A network to join. `password` is a passphrase or 64 hexadecimal digits; empty: an open network."""

    ssid: str
    password: str = field(default="", repr=False)
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Wired:
    """A network interface with addresses of its own; without any, it asks for one (DHCP)."""

    interface: str
    addresses: tuple[str, ...] = ()
    gateway: str = ""
    name_servers: tuple[str, ...] = ()


@dataclass(slots=True)
class System:
    """Empty is: leave it as it is."""

    host_name: str = ""
    time_zone: str = ""
    locale: str = ""
    keymap: str = ""
    country: str = ""
    users: list[User] = field(default_factory=list)
    networks: list[Wifi] = field(default_factory=list)
    wired: list[Wired] = field(default_factory=list)
    ssh: bool | None = None
    ssh_passwords: bool | None = None

    @property
    def empty(self) -> bool:
        return self == System()

    def secrets(self) -> list[str]:
        """Everything in it that must not stay where others can read it."""
        held = [*(user.password for user in self.users), *(network.password for network in self.networks)]
        return [password for password in held if password]


def sieve(system: System) -> tuple[System, list[Finding]]:
    """The part that can be carried out, and what is wrong with the rest; keys are named as in handset.toml."""
    sound, findings = System(ssh=system.ssh, ssh_passwords=system.ssh_passwords), []
    for name, key, pattern, hint in (
        ("host_name", "system.hostname", _HOST_NAME, "letters, digits and -, at most 63"),
        ("time_zone", "locale.timezone", _ZONE, "for example Europe/Berlin"),
        ("locale", "locale.locale", _LOCALE, "for example en_GB.UTF-8"),
        ("keymap", "locale.keymap", re.compile(r"[a-z]{2,8}(-[a-z0-9]+)*"), "for example gb"),
        ("country", "wlan.country", re.compile(r"[A-Z]{2}"), "two capital letters, for example DE"),
    ):
        value = getattr(system, name)
        if not value or pattern.fullmatch(value):
            setattr(sound, name, value)
        else:
            findings.append((key, f"{value!r} cannot be used", hint))
    for user in system.users:
        wrong = list(_of_user(user))
        findings += wrong
        if not wrong:
            sound.users.append(user)
    for network in system.networks:
        wrong = list(_of_network(network))
        findings += wrong
        if not wrong:
            sound.networks.append(network)
    for wired in system.wired:
        wrong = list(_of_wired(wired))
        findings += wrong
        if not wrong:
            sound.wired.append(wired)
    return sound, findings


def _of_user(user: User) -> Iterator[Finding]:
    if is_placeholder(user.password):
        yield "user.password", MESSAGE, remedy("user.password")
        return
    if not _USER.fullmatch(user.name) or user.name in RESERVED:
        yield "user.name", f"nobody can be called {user.name!r} here", "small letters and digits, as in anna"
    if user.password and user.hashed and not _HASH.fullmatch(user.password):
        yield "user.password", "it is no password hash", "make one: openssl passwd -6"
    if user.password and not user.hashed:
        if user.password.lower() in _KNOWN_PASSWORDS or user.password == user.name:
            yield "user.password", "everybody knows this password", "choose another"
        elif len(user.password) < SHORTEST_PASSWORD or not user.password.isprintable():
            yield "user.password", "it is too short", f"at least {SHORTEST_PASSWORD} characters"
    for key in user.keys:
        if not _KEY.fullmatch(key):
            yield "ssh.authorized_keys", "one of them is no SSH key", "copy the line of a .pub file"


def _of_network(network: Wifi) -> Iterator[Finding]:
    if not 1 <= len(network.ssid.encode()) <= 32:
        yield "wlan.ssid", "the network's name is empty or too long", "1 to 32 bytes"
    password = network.password
    if is_placeholder(password):
        yield "wlan.password", MESSAGE, remedy("wlan.password")
    elif password and not _HEX_KEY.fullmatch(password):
        if not 8 <= len(password) <= 63:
            yield "wlan.password", f"it has {len(password)} characters", "a Wi-Fi password has 8 to 63"
        elif not (password.isascii() and password.isprintable()):
            yield "wlan.password", "it has characters that no Wi-Fi password has", "letters, digits, signs"


def _of_wired(wired: Wired) -> Iterator[Finding]:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", wired.interface):
        yield "ethernets", f"{wired.interface!r} names no interface", "for example eth0"
    if any("%" in text for text in (*wired.addresses, wired.gateway, *wired.name_servers)):
        # What stands behind it may be anything, line breaks among them.
        yield (
            "ethernets.addresses",
            "an address with a zone (%) cannot be used",
            "leave % and what follows out",
        )
    for text in wired.addresses:
        try:
            ipaddress.ip_interface(text)
        except ValueError:
            yield "ethernets.addresses", f"{text!r} is no address", "for example 192.168.1.20/24"
    for text in (*filter(None, [wired.gateway]), *wired.name_servers):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield "ethernets", f"{text!r} is no address", "for example 192.168.1.1"
