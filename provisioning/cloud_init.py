"""What Raspberry Pi Imager writes to the boot partition: cloud-init's user-data, network-config and meta-data. Pure.

The part that Imager fills in is carried out; commands, packages and files that others may have added are not, and are
told as left.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.config.lines import nearest_line
from provisioning import yaml_text
from provisioning.draft import Draft
from provisioning.scrub import is_taken_over
from provisioning.system import System, User, Wifi, Wired, sieve

USER_DATA: Final = "user-data"
NETWORK: Final = "network-config"
META_DATA: Final = "meta-data"
FILES: Final = (USER_DATA, NETWORK, META_DATA)
_SILENT: Final = frozenset(
    {
        "manage_etc_hosts",
        "manage_resolv_conf",
        "preserve_hostname",
        "fqdn",
        "apt",
        "package_update",
        "rpi",
        "enable_ssh",
    }
)
"""Understood, and nothing to be done about."""
_WIFI_SILENT: Final = frozenset(
    {"renderer", "dhcp4", "dhcp6", "optional", "access-points", "regulatory-domain", "match"}
)


def parse(texts: Mapping[str, str]) -> list[Draft]:
    """One draft for each file of `texts` that is there, by its name, notes told with it."""
    readers = {USER_DATA: _user_data, NETWORK: _network, META_DATA: _meta_data}
    drafts = []
    for name, reader in readers.items():
        if name not in texts:
            continue
        draft = Draft(source=f"cloud-init's {name}")
        tree, draft.lines, faults = yaml_text.read(texts[name])
        draft.notes += faults
        if isinstance(tree, Mapping):
            system, findings = sieve(reader(draft, tree))
            draft.system = system
            for key, message, hint in findings:
                draft.fault(message, key=key, line=_line(draft, key), hint=hint)
        elif tree is not None:
            draft.fault("holds no settings", line=1, hint="write it anew with Raspberry Pi Imager")
        drafts.append(draft.in_file(name))
    return drafts


_PLACES: Final = {
    "system.hostname": ("hostname",),
    "locale.timezone": ("timezone",),
    "locale.locale": ("locale",),
    "locale.keymap": ("keyboard",),
    "user.name": ("users",),
    "user.password": ("users", "password"),
    "ssh.authorized_keys": ("ssh_authorized_keys", "users"),
    "wlan": ("network", "wifis"),
    "ethernets": ("network.ethernets", "ethernets"),
}
"""Where Imager writes what handset.toml calls so."""


def _line(draft: Draft, key: str) -> int:
    for name, places in _PLACES.items():
        if key.startswith(name):
            for place in places:
                if line := nearest_line(draft.lines, place):
                    return line
    return 0


def _user_data(draft: Draft, tree: Mapping[str, Any]) -> System:
    system = System(ssh=_switch(tree.get("enable_ssh")), ssh_passwords=_switch(tree.get("ssh_pwauth")))
    shared = tuple(_texts(tree.get("ssh_authorized_keys")))
    for key, value in tree.items():
        line = draft.lines.get(str(key), 0)
        match key:
            case "hostname":
                system.host_name = str(value)
            case "timezone":
                system.time_zone = str(value)
            case "locale":
                system.locale = str(value)
            case "keyboard":
                system.keymap = str(value.get("layout", "") if isinstance(value, Mapping) else value)
            case "users":
                system.users += list(_users(draft, value, shared))
            case "user":
                system.users += list(_users(draft, [value], shared))
            case "ssh_pwauth" | "ssh_authorized_keys":
                pass
            case "chpasswd" | "password":
                draft.leave("a password is taken from users alone", key=key, line=line)
            case "packages" if value == ["avahi-daemon"]:
                pass
            case _ if key not in _SILENT:
                draft.leave("is not carried out by this appliance", key=str(key), line=line)
    return system


def _users(draft: Draft, value: Any, shared: tuple[str, ...]) -> Iterator[User]:
    for number, one in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(one, Mapping) or not one.get("name"):
            if one != "default":
                draft.fault(
                    "has no name", key="users", line=draft.lines.get(f"users.{number}", 0), hint="name: anna"
                )
            continue
        plain = one.get("plain_text_passwd")
        password = plain or one.get("passwd") or one.get("hashed_passwd") or ""
        keys = (*_texts(one.get("ssh_authorized_keys")), *shared)
        sudo = one.get("sudo", True) not in (None, False)
        hidden = is_taken_over(password) or one.get("lock_passwd") is True
        yield User(
            str(one["name"]), "" if hidden else str(password), not plain, tuple(dict.fromkeys(keys)), sudo
        )


def _network(draft: Draft, tree: Mapping[str, Any]) -> System:
    system = System()
    inner = tree.get("network", tree)
    inner = inner if isinstance(inner, Mapping) else {}
    for kind, below in inner.items():
        if kind == "wifis" and isinstance(below, Mapping):
            _wifis(draft, system, below)
        elif kind == "ethernets" and isinstance(below, Mapping):
            system.wired += list(_wired(below))
        elif kind not in ("version", "renderer"):
            line = nearest_line(draft.lines, f"network.{kind}") or draft.lines.get(str(kind), 0)
            draft.leave("is not carried out by this appliance", key=str(kind), line=line)
    return system


def _wifis(draft: Draft, system: System, interfaces: Mapping[str, Any]) -> None:
    for name, below in interfaces.items():
        settings = _table(below)
        system.country = str(settings.get("regulatory-domain", system.country)).strip("\"'").upper()
        for ssid, said in _table(settings.get("access-points")).items():
            point = _table(said)
            login = point.get("auth")
            password = (
                (login.get("password") if isinstance(login, Mapping) else None) or point.get("password") or ""
            )
            if not is_taken_over(str(password)):
                system.networks.append(Wifi(str(ssid), str(password), point.get("hidden") is True))
        for key in settings.keys() - _WIFI_SILENT if name != "renderer" else ():
            draft.leave("is not carried out by this appliance", key=str(key), line=_line(draft, "wlan"))


def _wired(interfaces: Mapping[str, Any]) -> Iterator[Wired]:
    for name, below in interfaces.items():
        settings = _table(below)
        addresses = tuple(_texts(settings.get("addresses")))
        routes = settings.get("routes")
        gateways = [
            str(route["via"])
            for route in (routes if isinstance(routes, list) else [])
            if isinstance(route, Mapping) and route.get("to") in ("default", "0.0.0.0/0") and route.get("via")
        ]
        servers = settings.get("nameservers")
        if addresses:
            yield Wired(
                str(name),
                addresses,
                str(settings.get("gateway4") or (gateways[0] if gateways else "")),
                tuple(_texts(servers.get("addresses") if isinstance(servers, Mapping) else None)),
            )


def _meta_data(_: Draft, tree: Mapping[str, Any]) -> System:
    return System(host_name=str(tree.get("local-hostname") or ""))


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return (
        [str(one) for one in value] if isinstance(value, list) else [value] if isinstance(value, str) else []
    )


def _switch(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
