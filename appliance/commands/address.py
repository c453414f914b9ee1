"""Where the daemon listens, found without reading more of the configuration than `[control]`.

A client verb must start at once and must work while another section is faulty, so the schema is not loaded.
"""

import argparse
import ipaddress
import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from appliance.config.files import standard_files
from appliance.errors import RequestInvalid

_BIND: Final = "127.0.0.1"
_PORT: Final = 8765
_WILD: Final = ("", "0.0.0.0", "::", "localhost")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Address:
    """`certificate` is the daemon's own, to be trusted when it is called on this machine."""

    host: str
    port: int
    tls: bool = False
    certificate: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context()
        if self.certificate:
            context.load_verify_locations(self.certificate)
            context.check_hostname = not _is_loopback(self.host)
        return context


def find(
    args: argparse.Namespace, environ: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> Address:
    """From --address, HANDSET_ADDRESS, HANDSET_CONTROL__*, or the files, in this order. Raise RequestInvalid."""
    given = args.address or environ.get("HANDSET_ADDRESS", "")
    if given:
        return parse(given)
    section = _section(args.config, root)
    for key in ("bind", "port", "tls_certificate"):
        value = environ.get(f"HANDSET_CONTROL__{key.upper()}")
        if value is not None:
            section[key] = value
    bind = str(section.get("bind", _BIND))
    certificate = str(section.get("tls_certificate", ""))
    port = _port(section.get("port", _PORT))
    return Address(_BIND if bind in _WILD else bind, port, bool(certificate), certificate)


def parse(given: str) -> Address:
    """host, host:port, or ws(s)://host:port and http(s)://host:port."""
    try:
        parts = urlsplit(given if "://" in given else f"ws://{given}")
        port = parts.port or _PORT
    except ValueError:
        raise RequestInvalid(f"{given!r} is no address", hint="for example kiosk.local:8765") from None
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise RequestInvalid(
            f"{given!r} is no address", hint="for example kiosk.local:8765 or wss://kiosk.local:8765"
        )
    return Address(parts.hostname, port, parts.scheme in ("wss", "https"))


def _section(config: str | None, root: Path) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for path in [Path(config)] if config else standard_files(root):
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8")).get("control", {})
        except (OSError, ValueError):
            continue  # `handset check` says what is wrong with it
        if isinstance(found, dict):
            section.update(found)
    return section


def _port(value: Any) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = 0
    if not 0 < port < 1 << 16:
        raise RequestInvalid(f"control.port is {value!r}", hint="run: handset check")
    return port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
