"""Cisco and Linksys SPA: `<Proxy_1_>` in a flat profile."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provisioning.phones.account import Given, Means, codec, host, one_of, seconds, switch
from provisioning.phones.lines import elements

SOURCE: Final = "a Cisco SPA configuration"
_NUMBERED: Final = re.compile(r"(\w+?)_(\d+)_")
_CODEC: Final = Means("codecs", codec)
TABLE: Final[Mapping[str, Means]] = {
    "Line_Enable": Means("enabled", switch),
    "Short_Name": Means("label"),
    "Display_Name": Means("display_name"),
    "User_ID": Means("user"),
    "Auth_ID": Means("auth_user"),
    "Password": Means("password"),
    "Proxy": Means("server", host),
    "Outbound_Proxy": Means("outbound_proxy", host),
    "Use_Outbound_Proxy": Means("outbound_enabled", switch),
    "SIP_Transport": Means("transport", one_of({"udp": "udp", "tcp": "tcp", "tls": "tls"})),
    "Register_Expires": Means("expiry", seconds()),
    "DTMF_Tx_Method": Means(
        "dtmf",
        one_of(
            {
                "auto": "auto",
                "inband+info": "auto",
                "avt+info": "auto",
                "avt": "rfc4733",
                "info": "info",
                "inband": "inband",
            }
        ),
    ),
    "Preferred_Codec": _CODEC,
    "Second_Preferred_Codec": _CODEC,
    "Third_Preferred_Codec": _CODEC,
    "STUN_Server": Means("stun", host),
}


def looks_like(text: str) -> bool:
    """Whether some line is of this maker."""
    return "<flat-profile" in text or bool(re.search(r"<(Proxy|User_ID)_\d+_\b", text))


def givens(text: str) -> Iterator[Given]:
    """The fields. The name to log in with counts only where the profile says that it is used."""
    fields = list(_fields(text))
    used = {one.account for one in fields if one.name == "Use_Auth_ID" and one.value.lower() == "yes"}
    for one in fields:
        if one.name not in ("Use_Auth_ID", "Auth_ID") or (one.name == "Auth_ID" and one.account in used):
            yield one


def _fields(text: str) -> Iterator[Given]:
    for line, name, _, content in elements(text):
        if name not in ("flat-profile", "device"):
            found = _NUMBERED.fullmatch(name)
            value = content.strip()
            yield Given(found[1], value, line, int(found[2])) if found else Given(name, value, line)
