"""Who calls, whom they called, and which agent answers. Pure: reads the headers of an INVITE, names in lower case."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.dialplan import is_caller

_ADDRESS: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^>]*)>')
_INTERCOM_INFO: Final = re.compile(
    r"(?i)alert-autoanswer|auto[ _-]?answer|ring[ -]?answer|intercom\s*=\s*true|answer-after\s*=\s*\"?0*(?:[0-4])\b"
)
_ANSWER_AFTER: Final = re.compile(r"(?i)answer-after\s*=\s*\"?0*(?:[0-4])\b")


@dataclass(frozen=True, slots=True)
class Identity:
    """`called` are the numbers or names that were dialled on the way here, `diverted_by` who sent the call on."""

    peer: str
    name: str = ""
    called: tuple[str, ...] = ()
    diverted_by: str = ""

    def told(self) -> str:
        """For the agent's instructions; empty where nothing is known."""
        caller = f"{self.name} ({user_of(self.peer)})" if self.name else user_of(self.peer)
        parts = [f"The caller is {caller}."] if caller else []
        if self.called:
            parts.append(f"They called {user_of(self.called[0])}.")
        if self.diverted_by:
            parts.append(f"The call was diverted by {user_of(self.diverted_by)}.")
        return " ".join(parts)


class Routed(Protocol):
    """An agent's part of the configuration."""

    @property
    def numbers(self) -> tuple[str, ...]: ...

    @property
    def callers(self) -> tuple[str, ...]: ...


def identity(peer: str, name: str, headers: Mapping[str, str], *, trusted: bool) -> Identity:
    """`peer` and `name` are From's. Only a trusted peer's word is taken for who it is (P-Asserted-Identity)."""
    asserted = headers.get("p-asserted-identity", "") if trusted else ""
    if asserted:
        uri, asserted_name = address(asserted)
        peer, name = uri or peer, asserted_name or name
    diverted = address(headers.get("diversion", ""))[0]
    found = (address(headers.get("to", ""))[0], headers.get("request-uri", ""), diverted)
    return Identity(peer, name, tuple(dict.fromkeys(uri for uri in found if uri)), diverted)


def address(value: str) -> tuple[str, str]:
    """URI and name of a header's first address."""
    match = _ADDRESS.match(value)
    if match is None:
        return value.split(",", 1)[0].split(";", 1)[0].strip(), ""
    quoted, plain, uri = match.groups()
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (plain or "")
    return uri.strip(), name.strip()


def user_of(uri: str) -> str:
    """The number or name in an address; the whole where there is none."""
    rest = uri.partition(":")[2] or uri
    return rest.partition("@")[0].partition(";")[0]


def agent_for(agents: Mapping[str, Routed], known: Identity, server: str) -> str:
    """The first agent whose patterns fit, all of those that it has; empty where none does."""
    for name, agent in agents.items():
        if not agent.numbers and not agent.callers:
            continue
        called = not agent.numbers or any(_fits(agent.numbers, uri, server) for uri in known.called)
        if called and (not agent.callers or _fits(agent.callers, known.peer, server)):
            return name
    return ""


def asks_to_be_answered(headers: Mapping[str, str]) -> bool:
    """Whether the caller wants an intercom call: Answer-Mode (RFC 5373), or Call-Info and Alert-Info of phones."""
    for name in ("answer-mode", "priv-answer-mode"):
        if headers.get(name, "").partition(";")[0].strip().lower() == "auto":
            return True
    if headers.get("p-auto-answer", "").strip().lower() == "normal":
        return True
    if _ANSWER_AFTER.search(headers.get("call-info", "")):
        return True
    return _INTERCOM_INFO.search(headers.get("alert-info", "")) is not None


def _fits(patterns: Iterable[str], uri: str, server: str) -> bool:
    return any(is_caller(pattern, uri, server) for pattern in patterns)
