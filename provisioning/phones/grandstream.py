"""Grandstream: numbered P values, as `P47 = pbx.example.org` one a line, or as XML (`<P47>`)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provisioning.phones.account import Given, Means, codec, host, one_of, port, seconds, switch
from provisioning.phones.lines import assignments, elements

SOURCE: Final = "a Grandstream configuration"
_MEANINGS: Final[Mapping[str, Means]] = {
    "active": Means("enabled", switch),
    "label": Means("label"),
    "server": Means("server", host),
    "proxy": Means("outbound_proxy", host),
    "user": Means("user"),
    "auth": Means("auth_user"),
    "password": Means("password"),
    "name": Means("display_name"),
    "expiration": Means("expiry", seconds(60)),
    "transport": Means("transport", one_of({"0": "udp", "1": "tcp", "2": "tls"})),
    "srtp": Means("srtp", one_of({"0": "off", "1": "optional", "2": "mandatory"})),
    "auto_answer": Means("auto_answer", switch),
    "codec": Means("codecs", codec),
    "dtmf": Means("dtmf", one_of({"100": "inband", "101": "rfc4733", "102": "info"})),
    "stun": Means("stun", host),
    "local_port": Means("local_port", port),
}
_ACCOUNTS: Final[tuple[Mapping[str, str], ...]] = (
    {
        "P271": "active",
        "P270": "label",
        "P47": "server",
        "P48": "proxy",
        "P35": "user",
        "P36": "auth",
        "P34": "password",
        "P3": "name",
        "P32": "expiration",
        "P130": "transport",
        "P183": "srtp",
        "P90": "auto_answer",
        "P850": "dtmf",
        **{f"P{number}": "codec" for number in (57, 58, 59, 60, 61, 62, 46, 98)},
    },
    *(
        {
            f"P{base + 1}": "active",
            f"P{base + 17}": "label",
            f"P{base + 2}": "server",
            f"P{base + 3}": "proxy",
            f"P{base + 4}": "user",
            f"P{base + 5}": "auth",
            f"P{base + 6}": "password",
            f"P{base + 7}": "name",
            f"P{base + 12}": "expiration",
            f"P{base + 48}": "transport",
            f"P{base + 43}": "srtp",
            f"P{base + 25}": "auto_answer",
        }
        for base in (400, 500, 600)
    ),
)
"""Of accounts 1 to 4; the expiration counts minutes, and of three ways of digits (P850 to P852) the first counts."""
_PLACES: Final[Mapping[str, tuple[int, str]]] = {
    **{p: (account, meaning) for account, names in enumerate(_ACCOUNTS, 1) for p, meaning in names.items()},
    "P76": (0, "stun"),
}
TABLE: Final[Mapping[str, Means]] = {p: _MEANINGS[meaning] for p, (_, meaning) in _PLACES.items()}


def looks_like(text: str) -> bool:
    """Whether some line is of this maker."""
    return "<gs_provision" in text or bool(re.search(r"^\s*P\d+\s*=", text, re.MULTILINE))


def givens(text: str) -> Iterator[Given]:
    """The fields. In text, a comment may stand behind a value."""
    if text.lstrip().startswith("<"):
        found = [(line, name, content.strip()) for line, name, _, content in elements(text)]
    else:
        found = [(line, name, _uncommented(value)) for line, name, value in assignments(text)]
    for line, name, value in found:
        if re.fullmatch(r"P\w+", name):
            yield Given(name, value, line, _PLACES.get(name, (0, ""))[0])


def _uncommented(value: str) -> str:
    return re.sub(r"\s+#.*$", "", value)
