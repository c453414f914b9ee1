"""Yealink: `account.1.user_name = 201`, one a line."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provisioning.phones.account import Given, Means, codec, host, one_of, port, seconds, switch
from provisioning.phones.lines import assignments

SOURCE: Final = "a Yealink configuration"
_ACCOUNT: Final = re.compile(r"account\.(\d+)\.(.+)")
_CODEC: Final = re.compile(r"codec\.(\w+)\.(enable|priority|payload_type)")
_TRANSPORT: Final = one_of({"0": "udp", "1": "tcp", "2": "tls"})
_EXPIRES: Final = Means("expiry", seconds())
TABLE: Final[Mapping[str, Means]] = {
    "enable": Means("enabled", switch),
    "label": Means("label"),
    "display_name": Means("display_name"),
    "user_name": Means("user"),
    "auth_name": Means("auth_user"),
    "password": Means("password"),
    "sip_server.1.address": Means("server", host),
    "sip_server.1.port": Means("port", port),
    "sip_server.1.transport_type": Means("transport", _TRANSPORT),
    "sip_server.1.expires": _EXPIRES,
    "sip_server_host": Means("server", host),
    "sip_server_port": Means("port", port),
    "transport": Means("transport", _TRANSPORT),
    "expires": _EXPIRES,
    "reg_expires": _EXPIRES,
    "outbound_proxy_enable": Means("outbound_enabled", switch),
    "outbound_proxy.1.address": Means("outbound_proxy", host),
    "outbound_proxy.1.port": Means("outbound_proxy_port", port),
    "outbound_proxy.2.address": Means("outbound_proxy2", host),
    "outbound_proxy.2.port": Means("outbound_proxy2_port", port),
    "outbound_host": Means("outbound_proxy", host),
    "outbound_port": Means("outbound_proxy_port", port),
    "srtp_encryption": Means("srtp", one_of({"0": "off", "1": "optional", "2": "mandatory"})),
    "auto_answer": Means("auto_answer", switch),
    "dtmf.type": Means("dtmf", one_of({"0": "inband", "1": "rfc4733", "2": "info", "3": "auto"})),
    "codec": Means("codecs", codec),
    "sip.nat_stun.server": Means("stun", host),
    "static.sip.nat_stun.server": Means("stun", host),
    "sip.nat_stun.port": Means("stun_port", port),
    "static.sip.nat_stun.port": Means("stun_port", port),
}


def looks_like(text: str) -> bool:
    """Whether some line is of this maker."""
    return bool(re.search(r"^\s*account\.\d+\.\w+(\.\w+)*\s*=", text, re.MULTILINE))


def givens(text: str) -> Iterator[Given]:
    """The fields; codecs come last, in the order that their priorities say."""
    codecs: dict[tuple[int, str], dict[str, tuple[str, int]]] = {}
    for line, name, value in assignments(text):
        found = _ACCOUNT.fullmatch(name)
        if found is None:
            yield Given(name, value, line)
        elif one := _CODEC.fullmatch(found[2]):
            codecs.setdefault((int(found[1]), one[1]), {})[one[2]] = (value, line)
        else:
            yield Given(found[2], value, line, int(found[1]))
    yield from _codecs(codecs)


def _codecs(codecs: Mapping[tuple[int, str], Mapping[str, tuple[str, int]]]) -> Iterator[Given]:
    def priority(entry: tuple[tuple[int, str], Mapping[str, tuple[str, int]]]) -> tuple[int, int]:
        text = entry[1].get("priority", ("99", 0))[0]
        return entry[0][0], int(text) if text.isdecimal() else 99

    for (account, name), said in sorted(codecs.items(), key=priority):
        enabled, line = said.get("enable", ("1", next(iter(said.values()))[1]))
        # Older telephones number their codecs, and name each in payload_type.
        if enabled == "1" and not (name.isdecimal() and "payload_type" not in said):
            yield Given("codec", said.get("payload_type", (name, 0))[0], line, account)
