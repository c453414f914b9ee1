# SPDX-License-Identifier: Apache-2.0
"""Requests about calls that the library answers wrongly, or never. Pure; takes any bytes that a network can bring."""

import re
from collections.abc import Callable, Collection
from typing import Final

from drivers.sip_pjsua2.screen import CALL_ID

OK: Final = 200
BAD_REQUEST: Final = 400
NO_SUCH_CALL: Final = 481
_METHODS: Final = frozenset({b"INVITE", b"OPTIONS", b"INFO"})
_TO_TAG: Final = re.compile(rb"(?im)^(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=")
_REPLACES: Final = re.compile(rb"(?im)^replaces[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)")
_TAG: Final = re.compile(rb"(?i)(to|from)-tag\s*=\s*[^\s;,=\"]+")
_PACKAGE: Final = re.compile(rb"(?im)^info-package[ \t]*:")


def answer(request: bytes, ours: Callable[[], Collection[str]]) -> int | None:
    """The code that answers it, None where the library does. `ours` gives the Call-IDs of the calls that are up.

    OPTIONS, and INFO without a body, ask whether a call is still up: PBXs end one where that is not answered with 200
    (RFC 3261, 11; RFC 6086, 4.2.2). An offer within a call that is over is refused, and a malformed Replaces.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    method = head.split(b" ", 1)[0]
    if method == b"INVITE" and not _replaces_one(_REPLACES.findall(head)):
        return BAD_REQUEST
    call_id = CALL_ID.search(head)
    if method not in _METHODS or call_id is None or _TO_TAG.search(head) is None:
        return None
    if call_id[1].strip().decode("utf-8", "replace") not in ours():
        return NO_SUCH_CALL
    asks = method == b"OPTIONS" or (method == b"INFO" and not body and not _PACKAGE.search(head))
    return OK if asks else None


def _replaces_one(values: list[bytes]) -> bool:
    """Whether the Replaces header, if there is one, names one call: a Call-ID and both tags, once (RFC 3891, 3)."""
    if not values:
        return True
    call_id, *parameters = values[0].split(b";")
    tags = [match[1].lower() for one in parameters if (match := _TAG.fullmatch(one.strip()))]
    return len(values) == 1 and bool(call_id.strip()) and sorted(tags) == [b"from", b"to"]
