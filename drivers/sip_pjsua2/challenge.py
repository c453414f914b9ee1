# SPDX-License-Identifier: Apache-2.0
"""Who may ask for an account's password: its own servers. What anybody else asks with is told as a refusal. Pure.

The library answers every challenge with the account's credentials, also one of a host that was called directly: that
host would have a digest of the password to guess at, for a nonce of its own choice.
"""

import re
from collections.abc import Callable, Collection
from typing import Final

from drivers.sip_pjsua2.screen import CALL_ID, Address

FORBIDDEN: Final = 403
_STATUS: Final = re.compile(rb"SIP/2\.0[ \t]+(401|407)[ \t]")
_METHOD: Final = re.compile(rb"(?im)^cseq[ \t]*:[ \t]*[0-9]+[ \t]+([A-Z]+)")


def asks(response: bytes) -> bool:
    """Whether it asks for a password for anything but REGISTER: that goes to the account's registrar alone."""
    if _STATUS.match(response) is None:
        return False
    method = _METHOD.search(response.partition(b"\r\n\r\n")[0])
    return method is None or method[1] != b"REGISTER"


def call_id(response: bytes) -> str:
    """Empty where it has none."""
    found = CALL_ID.search(response)
    return found[1].strip().decode("utf-8", "replace") if found is not None else ""


def is_strange(response: bytes, source: Address, servers: Callable[[str], Collection[str] | None]) -> bool:
    """Whether it asks for a password that `source` has no claim to.

    `servers` gives the addresses of the servers of the account that the Call-ID belongs to; None where they are only
    known by a name that the library resolves for itself: those are reached by one checked connection.
    """
    if not asks(response):
        return False
    known = servers(call_id(response))
    plain = source.ipv4_mapped or source if source.version == 6 else source
    return known is not None and str(plain) not in known
