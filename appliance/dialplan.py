"""What may be dialled: patterns, and emergency numbers, which no agent ever dials. Pure.

A pattern is a number, in which `x` is a digit, `?` any character and `*` any more of them ("2xx", "+49*"); a name of
the server's ("reception"); or a whole address ("sip:*@pbx.example.org"), the only kind that other hosts match.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from appliance.errors import ApplianceError, DialForbidden, EmergencyForbidden

_SPACING: Final = re.compile(r"[\s().\-/]")
_NUMBER: Final = re.compile(r"\+?[0-9*#]+")
_DIGIT_PATTERN: Final = re.compile(r"[0-9xX+*#?]+")
_URI: Final = re.compile(
    r"(?i)sips?:(?P<user>[\w.!~*'&=+$%#-]{1,64})@(?P<host>[\w.\-]+|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?"
)
_SERVICE: Final = re.compile(r"(?i)urn:service:(sos|police|fire|ambulance)\b")
_COUNTRY: Final = r"(?:(?:\++|00|011)[1-9]\d{0,2})?\+*"
_ABROAD: Final = re.compile(r"^(?:\++|00|011)(?=[1-9]\d{6,14}$)")
"""What stands before a country's code; after 011 it may be a number at home, too, which only the count takes for it."""
_STAR_CODE: Final = r"(?:[*#]{1,2}\d{2,3}[*#]?)?"
_OUTSIDE_LINE: Final = r"(?:00?|99?)?"
_ENDS_A_USER: Final = re.compile(r"[@:;?,\x00-\x1f]")
"""Where some servers cut off a user, which may hold these escaped."""
_AFTER_HOST: Final = re.compile(r"(?<=\])|[;?>]|:(?=\d*$)")


@dataclass(frozen=True, slots=True)
class Dialled:
    """`number` as it is compared: without spacing; `host` is empty at our own server; `plain` is for the telephone."""

    number: str
    host: str
    plain: str


def read(to: str, servers: Collection[str]) -> Dialled | None:
    """What `to` names; None where it is neither a number, a name, nor an address without parameters."""
    text = unicodedata.normalize("NFKC", to).strip()
    if re.match(r"(?i)tel:", text):
        text = text[4:].split(";", 1)[0]
    elif "@" in text or re.match(r"(?i)sips?:", text):
        return _address(text, servers)
    text = unquote(text)
    number = _SPACING.sub("", text)
    if _NUMBER.fullmatch(number):
        return Dialled(number, "", number)
    return Dialled(text.casefold(), "", text) if re.fullmatch(r"[\w.\- ]{1,64}", text) else None


def counted(to: str, servers: Collection[str]) -> str:
    """Number and host by which calls to `to` are counted: the same for all ways to write one number."""
    dialled = read(to, servers)
    if dialled is None:
        text = to.rpartition("<")[2].partition(">")[0].partition("?")[0]
        dialled = Dialled(_SPACING.sub("", _user(text)).casefold(), _host(text, servers), "")
    return f"{_ABROAD.sub('+', dialled.number)}@{dialled.host}"


def _user(to: str) -> str:
    """The number in what cannot be read as a whole."""
    text = unquote(unicodedata.normalize("NFKC", to).strip())
    return _ENDS_A_USER.split(re.sub(r"(?i)^(sips?|tel):", "", text), maxsplit=1)[0]


def _host(to: str, servers: Collection[str]) -> str:
    """The host in what cannot be read as a whole; empty at our own server."""
    place = _AFTER_HOST.split(to.rpartition("@")[2].strip().casefold(), maxsplit=1)[0]
    return "" if "@" not in to or _is_ours(place, "", servers) else place


def _address(text: str, servers: Collection[str]) -> Dialled | None:
    address = text if re.match(r"(?i)sips?:", text) else f"sip:{text}"
    match = _URI.fullmatch(address)
    if match is None:
        return None
    user = unicodedata.normalize("NFKC", unquote(match["user"]))
    if not user.isprintable() or _ENDS_A_USER.search(user):
        return None
    number = _SPACING.sub("", user) if _NUMBER.fullmatch(_SPACING.sub("", user)) else user.casefold()
    place = match["host"].casefold()
    return Dialled(number, "" if _is_ours(place, match["port"] or "", servers) else place, address)


def _is_ours(host: str, port: str, servers: Collection[str]) -> bool:
    """A host without its port is ours too: accounts are told apart by the telephone."""
    homes = [server.casefold() for server in servers if server]
    return any(host + port == home or host == home.rsplit(":", 1)[0] for home in homes)


def is_emergency(number: str, emergency: Iterable[str]) -> bool:
    """Also behind a country's code, a digit for the outside line, or a star code that hides the caller."""
    known = "|".join(re.escape(entry) for entry in emergency)
    if not known:
        return False
    return _emergency(known).fullmatch(_SPACING.sub("", number)) is not None


@lru_cache(maxsize=8)
def _emergency(known: str) -> re.Pattern[str]:
    return re.compile(f"{_STAR_CODE}(?:{_COUNTRY}|{_OUTSIDE_LINE})(?:{known})[*#]*")


def caller(peer: str, server: str) -> str:
    """A caller's number or name and host, by which the same caller is known again."""
    known = read(peer.split(";", 1)[0], (server,))
    return f"{known.number}@{known.host}" if known is not None else peer.casefold()


def is_caller(pattern: str, peer: str, server: str) -> bool:
    """Whether a pattern names this caller: a number or name at any host, or a whole address."""
    known = read(peer.split(";", 1)[0], (server,))
    number = known.number if known is not None else _user(peer).casefold()
    host = known.host if known is not None else _host(peer, (server,))
    if re.match(r"(?i)sips?:", pattern):
        return matches(pattern, Dialled(number, host or server.casefold().rsplit(":", 1)[0], ""))
    return matches(pattern, Dialled(number, "", ""))


def matches(pattern: str, dialled: Dialled) -> bool:
    """Whether one pattern allows it; upper and lower case are one."""
    pattern = pattern.casefold().strip()
    if pattern.startswith(("sip:", "sips:")):
        if not dialled.host:
            return False
        return (
            _compiled(pattern.partition(":")[2], False).fullmatch(f"{dialled.number}@{dialled.host}")
            is not None
        )
    if dialled.host:
        return False
    digits = bool(_DIGIT_PATTERN.fullmatch(pattern))
    return (
        _compiled(_SPACING.sub("", pattern) if digits else pattern, digits).fullmatch(dialled.number)
        is not None
    )


@lru_cache(maxsize=256)
def _compiled(pattern: str, digits: bool) -> re.Pattern[str]:
    parts = []
    for letter in pattern:
        if letter == "*":
            parts.append("[^@]*")
        elif letter == "?":
            parts.append("[^@]")
        elif letter == "x" and digits:
            parts.append("[0-9]")
        else:
            parts.append(re.escape(letter))
    return re.compile("".join(parts))


def refusal(
    to: str,
    *,
    servers: Collection[str],
    by_agent: bool,
    contact: bool,
    patterns: Collection[str],
    emergency: Collection[str],
    people_call_emergency: bool,
) -> ApplianceError | None:
    """Why `to` is not dialled; None where it is. `contact`: the owner's configuration names it.

    The patterns bind agents only: whoever holds a token for `call.dial` dials what they please.
    """
    dialled = read(to, servers)
    number = dialled.number if dialled is not None else _user(to)
    if _SERVICE.search(to) or is_emergency(number, emergency):
        if by_agent or not people_call_emergency:
            return EmergencyForbidden("Emergency numbers are not dialled here.")
        return None
    if not by_agent or contact:
        return None
    if dialled is None or not any(matches(pattern, dialled) for pattern in patterns):
        return DialForbidden("This number may not be dialled.")
    return None


def sends_us(
    target: str,
    host: str,
    *,
    servers: Collection[str],
    through_server: bool,
    patterns: Collection[str],
    emergency: Collection[str],
) -> bool:
    """Whether a far end may send us to the URI `target`, which is at `host`: by REFER, or by a 3xx answer.

    Never to an emergency number. At our servers, and with `through_server`, where one of them is given whatever the
    call's account dials, only where an agent may dial: else who calls in, calls out.
    """
    address = target.rpartition("<")[2].partition(">")[0]
    number = _SPACING.sub("", _user(address))
    if _SERVICE.search(target) or is_emergency(number, emergency):
        return False
    if not through_server and not _is_ours(host.casefold(), "", servers):
        return True
    known = number if _NUMBER.fullmatch(number) else _user(address).casefold()
    # A server has more names than we know: a number counts as its own at any host.
    places = (Dialled(known, "", ""), Dialled(known, host.casefold(), ""))
    return any(matches(pattern, place) for pattern in patterns for place in places)
