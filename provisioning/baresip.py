"""baresip's account lines: `"Name" <sip:user@domain;transport=tls>;auth_pass=...;outbound="sip:proxy"`. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from provisioning.draft import Draft
from provisioning.phones.account import Given, Means, codec, host, one_of, read, seconds

SOURCE: Final = "account lines of baresip"
_LINE: Final = re.compile(r'\s*(?:"([^"]*)"|([^<"]*?))\s*<(sips?):([^>]*)>\s*(.*?)\s*$', re.IGNORECASE)
_PARAMETER: Final = re.compile(r';\s*([\w-]+)(?:\s*=\s*("[^"]*"|[^;]*))?')


def _nat(text: str) -> bool | None:
    """ICE is the only one of them that this appliance has to be asked for by name."""
    return {"ice": True, "turn": True, "stun": None}[text] if text in ("ice", "turn", "stun") else None


def _server(text: str) -> str:
    """stun:host, turn:host, stun:user:password@host."""
    return host(re.sub(r"^(stuns?|turns?):", "", text, flags=re.IGNORECASE).rpartition("@")[2])


TABLE: Final[Mapping[str, Means]] = {
    "display name": Means("display_name"),
    "user": Means("user"),
    "password": Means("password"),
    "host": Means("server", host),
    "transport": Means("transport", one_of({"udp": "udp", "tcp": "tcp", "tls": "tls"})),
    "auth_user": Means("auth_user"),
    "auth_pass": Means("password"),
    "outbound": Means("outbound_proxy", host),
    "outbound1": Means("outbound_proxy", host),
    "outbound2": Means("outbound_proxy2", host),
    "regint": Means("expiry", seconds()),
    "audio_codecs": Means("codecs", codec),
    "mediaenc": Means(
        "srtp", one_of({"": "off", "srtp": "optional", "srtp-mand": "mandatory", "srtp-mandf": "mandatory"})
    ),
    "medianat": Means("ice", _nat),
    "stunserver": Means("stun", _server),
    "turnserver": Means("turn", _server),
    "stunuser": Means("turn_user"),
    "stunpass": Means("turn_password"),
    "answermode": Means(
        "auto_answer", one_of({"auto": True, "manual": False, "early": False, "early-audio": False})
    ),
    "dtmfmode": Means("dtmf", one_of({"rtpevent": "rfc4733", "info": "info", "auto": "auto"})),
    "mwi": Means("mailbox", one_of({"yes": True, "no": False})),
}


def looks_like(text: str) -> bool:
    """Whether some line has an address in angle brackets."""
    return any(_LINE.match(line) for line in text.splitlines() if not line.lstrip().startswith("#"))


def parse(text: str, first: str = "") -> Draft:
    """One account a line, the first for `[sip]` itself (or `first`)."""
    broken: list[int] = []
    draft = read(_givens(text, broken), TABLE, SOURCE, first)
    for line in broken:
        draft.fault(
            "is no account line",
            line=line,
            hint='write: "Name" <sip:user@server;transport=udp>;auth_pass=PASSWORD',
        )
    return draft


def _givens(text: str, broken: list[int]) -> Iterator[Given]:
    account = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            broken.append(number)
            continue
        account += 1
        yield Given("display name", found[1] or found[2] or "", number, account)
        if found[3].lower() == "sips":
            yield Given("transport", "tls", number, account)
        yield from (Given(name, value, number, account) for name, value in _uri(found[4]))
        yield from (Given(name, value, number, account) for name, value in _parameters(found[5]))


def _uri(text: str) -> Iterator[tuple[str, str]]:
    before, at, after = text.rpartition("@")
    user, colon, password = before.partition(":")
    place, _, rest = after.partition(";")
    if at:
        yield "user", unquote(user)
    if colon:
        yield "password", unquote(password)
    yield "host", place
    yield from _parameters(f";{rest}" if rest else "")


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    relayed = False
    found = [(one[1].lower(), (one[2] or "").strip().strip('"')) for one in _PARAMETER.finditer(text)]
    for name, value in found:
        relayed = relayed or (name == "medianat" and value == "turn")
    for name, value in found:
        if name == "audio_codecs":
            yield from (("audio_codecs", one) for one in value.split(",") if one.strip())
        elif name == "stunserver" and relayed:
            yield "turnserver", value
            yield from _login(value)
        elif name in ("stunuser", "stunpass") and not relayed:
            continue
        else:
            yield name, value


def _login(server: str) -> Iterator[tuple[str, str]]:
    login, at, _ = re.sub(r"^\w+:", "", server).rpartition("@")
    user, _, password = login.partition(":")
    if at:
        yield "stunuser", unquote(user)
        yield "stunpass", unquote(password)
