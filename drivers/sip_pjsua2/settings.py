# SPDX-License-Identifier: Apache-2.0
"""What the SIP process is told once, in its first message."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the SIP process knows of the configuration. `password` travels over the socket only, never printed."""

    server: str = ""
    user: str = ""
    auth_user: str = ""
    password: str = ""
    display_name: str = ""
    transport: str = "udp"
    outbound_proxy: tuple[str, ...] = ()
    expiry: int = 300
    srtp: str = "off"
    codecs: tuple[str, ...] = ()
    port: int = 5060
    rtp_first: int = 40000
    rtp_count: int = 100
    bind: str = ""
    max_calls: int = 2
    dtmf: str = "auto"
    stun: tuple[str, ...] = ()
    force_old_tls: bool = False
    strangers: str = "refuse"
    user_agent: str = "Handset"
    keep_alive: float = 10.0
    media_timeout: float = 30.0
    parent_timeout: float = 10.0

    def __repr__(self) -> str:
        return f"Settings({self.transport}, {self.user}@{self.server or 'nowhere'})"


def from_message(body: Mapping[str, Any]) -> Settings:
    """Read a `configure` message; raise ValueError when a field has another type than its default."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        if field.name not in body:
            continue
        value, default = body[field.name], field.default
        if isinstance(default, tuple):
            value = tuple(str(item) for item in value)
        elif isinstance(default, float) and isinstance(value, int):
            value = float(value)
        if type(value) is not type(default):
            raise ValueError(f"{field.name} is a {type(value).__name__}")
        values[field.name] = value
    return Settings(**values)
