# SPDX-License-Identifier: Apache-2.0
"""What a registrar's answer says beside its code. Pure; takes any bytes that a network can bring."""

import re
from typing import Final

_RETRY_AFTER: Final = re.compile(r"(?im)^Retry-After[ \t]*:[ \t]*(\d{1,9})\b")
_CONTACT: Final = re.compile(
    r"(?im)^(?:Contact|m)[ \t]*:[^\r\n]*?sips?:(?:[^@>;\s]*@)?(\[[0-9a-f:.]+\](?::\d+)?|[\w.-]+(?::\d+)?)"
)
MOVED: Final = frozenset({300, 301, 302, 305})


def retry_after(message: str) -> float:
    """Seconds that the server wants to be left alone, 0 where it says none."""
    match = _RETRY_AFTER.search(_head(message))
    return float(match[1]) if match else 0.0


def moved_to(message: str) -> str:
    """Where a redirection points to, host[:port]; empty where it names nothing."""
    match = _CONTACT.search(_head(message))
    return match[1] if match else ""


def _head(message: str) -> str:
    return message[:8192].split("\r\n\r\n", 1)[0]
