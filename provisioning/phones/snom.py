"""Snom: `<user_host idx="1">` in XML, or `user_host1!: value`, one a line."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provisioning.phones.account import Given, Means, codec, host, one_of, seconds, switch
from provisioning.phones.lines import colons, elements

SOURCE: Final = "a Snom configuration"
_CODECS: Final = "codec_priority_list"
TABLE: Final[Mapping[str, Means]] = {
    "user_active": Means("enabled", switch),
    "user_idle_text": Means("label"),
    "user_realname": Means("display_name"),
    "user_name": Means("user"),
    "user_pname": Means("auth_user"),
    "user_pass": Means("password"),
    "user_host": Means("server", host),
    "user_outbound": Means("outbound_proxy", host),
    "user_expiry": Means("expiry", seconds()),
    "user_srtp": Means("srtp", one_of({"on": "optional", "off": "off"})),
    "user_savp": Means("srtp", one_of({"off": "off", "optional": "optional", "mandatory": "mandatory"})),
    "user_auto_connect": Means("auto_answer", switch),
    "user_dtmf_info": Means("dtmf", one_of({"off": "rfc4733", "on": "auto", "sip_info_only": "info"})),
    "stun_server": Means("stun", host),
    _CODECS: Means("codecs", codec),
}


def looks_like(text: str) -> bool:
    """Whether some line is of this maker."""
    return bool(re.search(r"<user_(host|name)\b|^\s*user_(host|name)\d*[!$&]?\s*:", text, re.MULTILINE))


def givens(text: str) -> Iterator[Given]:
    """The fields; what has no number is the whole telephone's. Whether SRTP is offered at all weighs more than how."""
    fields = list(_of_xml(text) if text.lstrip().startswith("<") else _of_lines(text))
    off = {one.account for one in fields if one.name == "user_srtp" and one.value == "off"}
    for one in fields:
        if one.name == _CODECS:
            yield from (Given(one.name, piece, one.line, one.account) for piece in one.value.split(","))
        elif one.name != "user_savp" or one.account not in off:
            yield one


def _of_xml(text: str) -> Iterator[Given]:
    for line, name, attributes, content in elements(text):
        if name not in ("settings", "phone-settings"):
            idx = attributes.get("idx", "0")
            yield Given(name, content.strip(), line, int(idx) if idx.isdecimal() else 0)


def _of_lines(text: str) -> Iterator[Given]:
    for line, name, value in colons(text):
        found = re.fullmatch(r"(user_\w*?|codec_priority_list)(\d+)", name)
        yield Given(found[1], value, line, int(found[2])) if found else Given(name, value, line)
