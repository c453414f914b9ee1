"""What a boot file says of the machine, as actions: its name, people who may log in, networks, time zone.

Each group stands for itself: where one cannot be carried out, the others are. Pure, but for the looks at a
tree's layout and time zones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from appliance.config.lines import nearest_line
from provisioning.actions import Action, Link, MakeDirectory, Run, WriteFile
from provisioning.draft import Draft, Note
from provisioning.system import System, User
from provisioning.wifi import wifi_actions, wired_actions

_ETC: Final = PurePosixPath("/etc")
_GROUPS: Final = "users,audio,video,plugdev,gpio,dialout,netdev"
_KEYS: Final = _ETC / "ssh/keys"


@dataclass(frozen=True, slots=True)
class Layout:
    """`keys_alone`: the image, whose root is read-only: nobody is added, and SSH keys are those of root."""

    keys_alone: bool = False

    @classmethod
    def of(cls, root: Path) -> "Layout":
        return cls((root / _KEYS.relative_to("/")).is_dir())


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that belong together, in words, and the secrets that are in force once they are done."""

    what: str
    actions: list[Action]
    says: Callable[[System], Any]
    """Whether a file says something of it."""
    secrets: list[str] = field(default_factory=list, repr=False)
    last: bool = True
    """Of several files that do, the last one holds; else all."""


def system_actions(system: System, layout: Layout | None = None) -> list[Action]:
    """All groups in one."""
    return [action for group in groups(system, layout or Layout()) for action in group.actions]


def groups(system: System, layout: Layout) -> list[Group]:
    """Everything in `system` that is not empty; what was checked before."""
    found: list[Group] = []
    if system.host_name:
        found.append(Group("the host name", host_name_actions(system.host_name), lambda one: one.host_name))
    if system.networks or system.country:
        names = ", ".join(network.ssid for network in system.networks)
        held = [network.password for network in system.networks if network.password]
        wifi = wifi_actions(system.networks, system.country)
        found.append(
            Group(f"Wi-Fi {names}".strip(), wifi, lambda one: one.networks or one.country, held, last=False)
        )
    if system.wired:
        found.append(Group("addresses", wired_actions(system.wired), lambda one: one.wired))
    found += _people(system, layout)
    if system.time_zone:
        zone = f"/usr/share/zoneinfo/{system.time_zone}"
        found.append(Group("the time zone", [Link(_ETC / "localtime", zone)], lambda one: one.time_zone))
    if system.locale and not layout.keys_alone:
        language = WriteFile(_ETC / "locale.conf", f"LANG={system.locale}\n")
        found.append(Group("the language", [language], lambda one: one.locale))
    if system.keymap and not layout.keys_alone:
        keyboard = WriteFile(_ETC / "vconsole.conf", f"KEYMAP={system.keymap}\n")
        found.append(Group("the keyboard", [keyboard], lambda one: one.keymap))
    return found


def without_unknown_zone(draft: Draft, root: Path) -> Draft:
    """The draft; a time zone that the system of `root` has no file of is told as a fault instead, and UTC stays."""
    zone, zones = draft.system.time_zone, root / "usr/share/zoneinfo"
    if not zone or not zones.is_dir() or (zones / zone).is_file():
        return draft
    line = draft.lines.get("timezone") or nearest_line(draft.lines, "locale.timezone")
    note = Note(
        f"there is no time zone {zone!r}",
        "locale.timezone",
        line,
        "for example Europe/Berlin",
        "fault",
        draft.file,
    )
    return replace(draft, system=replace(draft.system, time_zone=""), notes=[*draft.notes, note])


def host_name_actions(name: str) -> list[Action]:
    """The name on disk and of the running system; nss-myhostname and mDNS resolve it."""
    return [WriteFile(_ETC / "hostname", f"{name}\n"), Run(("hostname", name))]


def _people(system: System, layout: Layout) -> list[Group]:
    if layout.keys_alone:
        return _keys_of_root(system)
    found = [
        Group(
            f"the user {user.name}",
            user_actions(user),
            partial(_names, user.name),
            [user.password] if user.password else [],
        )
        for user in system.users
    ]
    ssh = _ssh(system)
    return [*found, Group("SSH", ssh, _says_ssh, last=False)] if ssh else found


def _names(name: str, system: System) -> bool:
    return any(user.name == name for user in system.users)


def _says_ssh(system: System) -> bool:
    says = system.ssh is not None or system.ssh_passwords is not None
    return says or any(user.keys for user in system.users)


def _keys_of_root(system: System) -> list[Group]:
    """Whoever the file names, the keys open the one account there is; passwords open nothing, and are scrubbed."""
    keys = list(dict.fromkeys(key for user in system.users for key in user.keys))
    held = [user.password for user in system.users if user.password]
    if not keys:
        return (
            [Group("nobody who could log in: without a key there is no SSH", [], lambda _: False, held)]
            if system.users
            else []
        )
    write = WriteFile(_KEYS / "authorized_keys.root", "\n".join(keys) + "\n", 0o600)
    start = Run(("systemctl", "--no-block", "restart", "ssh.service"))
    return [Group("SSH for root, by key", [write, start], _says_ssh, held, last=False)]


def user_actions(user: User) -> list[Action]:
    """Somebody who may log in: by key, and by password only where there is one."""
    home = PurePosixPath("/home") / user.name
    make = ("useradd", "--create-home", "--shell", "/bin/bash", user.name)
    actions: list[Action] = [Run(make)]
    actions += [Run(("usermod", "--append", "--groups", group, user.name)) for group in _GROUPS.split(",")]
    if user.administrator:
        actions.append(Run(("usermod", "--append", "--groups", "sudo", user.name)))
    if user.password:
        flags = ("--encrypted",) if user.hashed else ()
        actions.append(Run(("chpasswd", *flags), f"{user.name}:{user.password}\n", needed=True))
    if user.keys:
        actions += [
            MakeDirectory(home / ".ssh", 0o700, user.name),
            WriteFile(home / ".ssh/authorized_keys", "\n".join(user.keys) + "\n", 0o600, user.name),
        ]
    return actions


def _ssh(system: System) -> list[Action]:
    """On where it is wanted, or where somebody brought a key; passwords only where they are asked for."""
    wanted = system.ssh if system.ssh is not None else (any(user.keys for user in system.users) or None)
    passwords = system.ssh_passwords
    actions: list[Action] = []
    if passwords is not None:
        line = f"PasswordAuthentication {'yes' if passwords else 'no'}\nPermitRootLogin no\n"
        actions.append(WriteFile(_ETC / "ssh/sshd_config.d/10-handset.conf", line))
    if wanted is not None:
        # Not waited for: at a start it begins after us.
        verb = "enable" if wanted else "disable"
        actions.append(Run(("systemctl", "--no-block", verb, "--now", "ssh.service")))
    return actions
