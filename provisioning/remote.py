"""Where an appliance fetches its settings from, as desk phones do, and whom it believes. Pure.

Whoever answers DHCP first names the server: what it serves is only believed over HTTPS with a certificate for that very
name, or signed with a key that was configured. By default the first server that gave settings is stayed with.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from appliance.config.schema import Provisioning
from appliance.errors import DriverMissing, Forbidden

_FILE: Final = re.compile(r".*\.(toml|cfg|xml|txt)", re.IGNORECASE)
_NAMES: Final = ("{mac}.toml", "{mac}.cfg", "cfg{mac}.xml", "{mac}.xml")
"""As Handset, Yealink and Polycom, Grandstream, and Snom and Cisco telephones ask for them."""


class NotBelieved(Forbidden):
    """A server or a file that nobody vouches for; nothing was fetched, or nothing was changed."""

    code = "not_believed"


@dataclass(frozen=True, slots=True)
class Source:
    """`urls` are tried in turn; `signed`: what they give needs a signature, else the `host` has to prove its name."""

    urls: tuple[str, ...]
    host: str
    signed: bool
    from_dhcp: bool


def source(settings: Provisioning, offered: str, mac: str, known_host: str) -> Source | None:
    """Where to fetch from: the configured address, else the one that DHCP `offered`. None where there is none.

    Settings came from `known_host` before. Raise NotBelieved for an address that is not used.
    """
    from_dhcp = not settings.url
    text = (offered if settings.dhcp != "off" else "") if from_dhcp else settings.url
    if not text or not mac:
        return None
    url = text if "://" in text else f"https://{text}"
    scheme, host = _place(url)
    if not host or re.search(r"[\s\x00-\x1f\"'<>]", url):
        raise NotBelieved("the network names no usable address for settings", hint="correct DHCP option 66")
    signed = bool(settings.public_key)
    if scheme != "https" and not (scheme == "http" and signed):
        raise NotBelieved(
            f"settings are not fetched by {scheme}: anybody could forge them",
            hint="name an https address in DHCP option 66, or sign the files (provisioning.public_key)",
        )
    if from_dhcp and not signed and settings.dhcp == "first" and known_host not in ("", host):
        raise NotBelieved(
            f"the network names {host}, and the settings came from {known_host} before",
            hint='if the server has moved: provisioning.url, or dhcp = "always"',
        )
    return Source(_urls(url, mac), host, signed, from_dhcp)


def _place(url: str) -> tuple[str, str]:
    """Scheme and host; no host where it is no address."""
    try:
        parts = urlsplit(url)
        return ("", "") if parts.port == 0 else (parts.scheme, (parts.hostname or "").lower())
    except ValueError:
        return "", ""


def _urls(url: str, mac: str) -> tuple[str, ...]:
    if "{mac}" in url or _FILE.fullmatch(urlsplit(url).path):
        return (url.replace("{mac}", mac),)
    base = url if url.endswith("/") else f"{url}/"
    return tuple(base + name.replace("{mac}", mac) for name in _NAMES)


def check_signature(data: bytes, signature: bytes, public_key: str) -> None:
    """Raise NotBelieved where `signature` (64 bytes, or base64 of them) is not that of `data`."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise DriverMissing(
            "the library cryptography is not installed", hint="pip install cryptography"
        ) from error
    try:
        raw = signature if len(signature) == 64 else base64.b64decode(signature.strip(), validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key)).verify(raw, data)
    except (InvalidSignature, ValueError) as error:
        raise NotBelieved(
            "the file's signature is not that of provisioning.public_key", hint="sign it again"
        ) from error
