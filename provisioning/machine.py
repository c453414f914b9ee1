"""What a boot file says of the machine, as actions: its name, people who may log in, networks, time zone. Pure."""

from pathlib import PurePosixPath
from typing import Final

from provisioning.actions import Action, Link, MakeDirectory, Run, WriteFile
from provisioning.system import System, User
from provisioning.wifi import wifi_actions, wired_actions

_ETC: Final = PurePosixPath("/etc")
_GROUPS: Final = "users,audio,video,plugdev,gpio,dialout,netdev"


def system_actions(system: System) -> list[Action]:
    """Everything in `system` that is not empty; what was checked before."""
    actions: list[Action] = []
    if system.host_name:
        actions += host_name_actions(system.host_name)
    if system.time_zone:
        actions += [
            Link(_ETC / "localtime", f"/usr/share/zoneinfo/{system.time_zone}"),
            WriteFile(_ETC / "timezone", f"{system.time_zone}\n"),
        ]
    if system.locale:
        actions.append(WriteFile(_ETC / "locale.conf", f"LANG={system.locale}\n"))
    if system.keymap:
        actions.append(WriteFile(_ETC / "vconsole.conf", f"KEYMAP={system.keymap}\n"))
    for user in system.users:
        actions += user_actions(user)
    actions += _ssh(system)
    actions += wifi_actions(system.networks, system.country)
    actions += wired_actions(system.wired)
    return actions


def host_name_actions(name: str) -> list[Action]:
    """The name on disk, in the hosts file, and of the running system."""
    hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{name}\n"
    return [
        WriteFile(_ETC / "hostname", f"{name}\n"),
        WriteFile(_ETC / "hosts", hosts),
        Run(("hostname", name)),
    ]


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
    """Passwords are asked for only where somebody has one; without anybody who could log in, nobody needs to."""
    wanted = system.ssh if system.ssh is not None else (any(user.keys for user in system.users) or None)
    passwords = system.ssh_passwords
    actions: list[Action] = []
    if passwords is not None:
        line = f"PasswordAuthentication {'yes' if passwords else 'no'}\nPermitRootLogin no\n"
        actions.append(WriteFile(_ETC / "ssh/sshd_config.d/10-handset.conf", line))
    if wanted is not None:
        actions.append(Run(("systemctl", "enable" if wanted else "disable", "--now", "ssh.service")))
    return actions
