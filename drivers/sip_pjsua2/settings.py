# SPDX-License-Identifier: Apache-2.0
"""What the SIP process is told once, in its first message, and of its accounts whenever they change."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

FIRST_ACCOUNT: Final = "default"
"""The account that stands in `[sip]` itself."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account. Its passwords travel over the socket only, never printed."""

    name: str = FIRST_ACCOUNT
    server: str = ""
    user: str = ""
    auth_user: str = ""
    password: str = ""
    display_name: str = ""
    transport: str = "udp"
    outbound_proxy: tuple[str, ...] = ()
    expiry: int = 300
    srtp: str = "off"
    ca: str = ""
    ice: bool = False
    turn: str = ""
    turn_user: str = ""
    turn_password: str = ""
    mailbox: bool = False

    def __repr__(self) -> str:
        return f"AccountSettings({self.name}: {self.transport}, {self.user}@{self.server or 'nowhere'})"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the SIP process knows of the configuration. The first account comes first."""

    accounts: tuple[AccountSettings, ...] = field(default_factory=lambda: (AccountSettings(),))
    codecs: tuple[str, ...] = ()
    port: int = 5060
    rtp_first: int = 40000
    rtp_count: int = 100
    bind: str = ""
    allow: tuple[str, ...] = ()
    max_calls: int = 2
    dtmf: str = "auto"
    stun: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dscp_sip: int = 24
    dscp_rtp: int = 46
    force_old_tls: bool = False
    strangers: str = "refuse"
    redirects: str = "server"
    dial: tuple[str, ...] = ("*",)
    emergency_numbers: tuple[str, ...] = ()
    user_agent: str = "Handset"
    keep_alive: float = 10.0
    media_silence: float = 10.0
    come_back: float = 20.0
    media_timeout: float = 30.0
    parent_timeout: float = 10.0
    answer_wait: float = 12.0
    """A host that has sent nothing for so long is not there: an INVITE was sent five times by then. The RFC's 32 s
    would hold one of the few places for calls, also when everybody has given up."""


_Read = TypeVar("_Read", Settings, AccountSettings)


def from_message(body: Mapping[str, Any]) -> Settings:
    """Read a `configure` message; raise ValueError when a field has another type than its default."""
    return _read(Settings, {**body, "accounts": accounts_from(body)})


def accounts_from(body: Mapping[str, Any]) -> tuple[AccountSettings, ...]:
    """The accounts of a `configure` or `accounts` message; raise ValueError as `from_message` does."""
    return tuple(_read(AccountSettings, account) for account in body.get("accounts", [{}]))


def _read(kind: type[_Read], body: Mapping[str, Any]) -> _Read:
    values: dict[str, Any] = {}
    blank = kind()
    for entry in fields(kind):
        if entry.name not in body:
            continue
        value, default = body[entry.name], getattr(blank, entry.name)
        if isinstance(default, tuple) and entry.name != "accounts":
            value = tuple(str(item) for item in value)
        elif isinstance(default, float) and isinstance(value, int):
            value = float(value)
        if type(value) is not type(default):
            raise ValueError(f"{entry.name} is a {type(value).__name__}")
        values[entry.name] = value
    return kind(**values)
