# SPDX-License-Identifier: Apache-2.0
"""What Handset is told about an INVITE. Pure; takes any bytes that a network can bring."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_HEADERS: Final = 24
MAX_VALUE: Final = 256
CHOSEN: Final = frozenset(
    (
        *("from", "to", "contact", "call-id", "user-agent", "subject", "alert-info", "call-info"),
        *("answer-mode", "priv-answer-mode", "p-auto-answer", "privacy"),
        *("p-asserted-identity", "remote-party-id", "diversion", "history-info", "referred-by", "replaces"),
    )
)
_COMPACT: Final = {"f": "from", "t": "to", "m": "contact", "i": "call-id", "s": "subject", "b": "referred-by"}
_ADDRESS: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^>]*)>')


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` holds the chosen ones, every X- header and "request-uri", names in lower case; of several the first."""

    peer: str = ""
    display_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: str) -> "Request":
        """Never raises: what cannot be read is left out."""
        headers: dict[str, str] = {}
        head = message[:16_384].split("\r\n\r\n", 1)[0]
        first, *lines = re.sub(r"\r?\n[ \t]+", " ", head).split("\n")
        if (words := first.split())[1:]:
            headers["request-uri"] = _clean(words[1])
        for line in lines:
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            name = _COMPACT.get(name, name)
            if colon and (name in CHOSEN or name.startswith("x-")) and len(headers) < MAX_HEADERS:
                headers.setdefault(name[:64], _clean(value))
        peer, display_name = _address(headers.get("from", ""))
        return cls(peer, display_name, headers)


def _clean(value: str) -> str:
    text = value.encode("utf-8", "replace").decode("utf-8").strip()[:MAX_VALUE]
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _address(value: str) -> tuple[str, str]:
    match = _ADDRESS.match(value)
    if match is None:
        return value.split(";", 1)[0].strip(), ""
    quoted, plain, uri = match.groups()
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (plain or "")
    return uri.strip(), name.strip()
