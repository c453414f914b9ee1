"""Polycom (Poly): attributes as `reg.1.address="201"` in XML."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provisioning.phones.account import Given, Means, codec, host, one_of, port, seconds, switch
from provisioning.phones.lines import elements

SOURCE: Final = "a Polycom configuration"
_LINE: Final = re.compile(r"reg\.(\d+)\.(.+)")
_TRANSPORT: Final = Means(
    "transport",
    one_of(
        {
            "udponly": "udp",
            "dnsnaptr": None,
            "tcppreferred": "tcp",
            "tcponly": "tcp",
            "tls": "tls",
            "": None,
        }
    ),
)
TABLE: Final[Mapping[str, Means]] = {
    "address": Means("user"),
    "label": Means("label"),
    "displayName": Means("display_name"),
    "auth.userId": Means("auth_user"),
    "auth.password": Means("password"),
    "server.1.address": Means("server", host),
    "server.1.port": Means("port", port),
    "server.1.transport": _TRANSPORT,
    "server.1.expires": Means("expiry", seconds()),
    "outboundProxy.address": Means("outbound_proxy", host),
    "outboundProxy.port": Means("outbound_proxy_port", port),
    "outboundProxy.transport": _TRANSPORT,
    "srtp": Means("srtp"),
    "voIpProt.server.1.address": Means("server", host),
    "voIpProt.server.1.port": Means("port", port),
    "voIpProt.server.1.transport": _TRANSPORT,
    "voIpProt.server.1.expires": Means("expiry", seconds()),
    "codec": Means("codecs", codec),
    "call.autoAnswer.SIP": Means("auto_answer", switch),
    "tcpIpApp.ice.mode": Means("ice", one_of({"disabled": None, "standard": True})),
}


def looks_like(text: str) -> bool:
    """Whether some attribute is of this maker."""
    return bool(re.search(r"\breg\.\d+\.(address|auth\.userId)\s*=", text))


def givens(text: str) -> Iterator[Given]:
    """The fields; what the whole telephone says of its server holds for each account that says nothing itself."""
    lines: dict[int, list[Given]] = {}
    common: list[Given] = []
    offered: dict[int, tuple[str, int]] = {}
    codecs: list[tuple[int, str, int]] = []
    for line, _, attributes, _ in elements(text):
        for name, value in attributes.items():
            found = _LINE.fullmatch(name)
            if name.startswith("voice.codecPref.") and value.isdecimal():
                codecs.append((int(value), name.removeprefix("voice.codecPref."), line))
            elif found and found[2] in ("srtp.offer", "srtp.require"):
                _srtp(offered, int(found[1]), found[2], value, line)
            elif found:
                lines.setdefault(int(found[1]), []).append(Given(found[2], value, line, int(found[1])))
            else:
                common.append(Given(name, value, line))
    for number, own in lines.items():
        named = {TABLE[one.name].key for one in own if one.name in TABLE and one.value.strip()}
        for one in common:
            served = "server" in named and one.name.startswith("voIpProt.server")
            if one.name in TABLE and TABLE[one.name].key not in named and not served:
                yield Given(one.name, one.value, one.line, number)
        yield from own
    yield from (
        Given("srtp", how, line, number) for number, (how, line) in offered.items() if number in lines
    )
    yield from (one for one in common if one.name not in TABLE)
    yield from (Given("codec", name, line) for rank, name, line in sorted(codecs) if rank)


def _srtp(offered: dict[int, tuple[str, int]], number: int, name: str, value: str, line: int) -> None:
    if value == "1" and not (name == "srtp.offer" and number in offered):
        offered[number] = ("mandatory" if name == "srtp.require" else "optional", line)
