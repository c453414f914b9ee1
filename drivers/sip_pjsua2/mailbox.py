# SPDX-License-Identifier: Apache-2.0
"""Whether a server tells of the mailbox (RFC 3842): the library does not say when it refuses to. Pure."""

import re
from typing import Final

_REFUSED: Final = re.compile(r"SIP/2\.0[ \t]+([3-6][0-9]{2})[ \t]+([^\r\n]*)")
_SUBSCRIBE: Final = re.compile(r"(?im)^cseq[ \t]*:[ \t]*[0-9]+[ \t]+SUBSCRIBE[ \t]*$")
_FROM: Final = re.compile(r"(?im)^(?:from|f)[ \t]*:[^\r\n]*?(sips?:[^>;\r\n]+)")
_ASKS: Final = frozenset({401, 407})


def refusal(response: str) -> tuple[str, str] | None:
    """Who subscribed (an address), and the code and reason of a server that refuses; None for any other response.

    We subscribe to nothing else. A challenge is no refusal: it is answered.
    """
    head = response.partition("\r\n\r\n")[0]
    status = _REFUSED.match(head)
    if status is None or int(status[1]) in _ASKS or _SUBSCRIBE.search(head.replace("\r", "")) is None:
        return None
    sender = _FROM.search(head)
    return (sender[1].strip() if sender is not None else ""), f"{status[1]} {status[2].strip()}".strip()
