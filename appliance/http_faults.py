"""What an exception of an SDK means that asks over HTTP: its status, or why the service was not reached. Pure."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

from websockets.exceptions import WebSocketException

from appliance import link_faults
from appliance.errors import ApplianceError, ProviderUnavailable

_TELLING: Final = (
    (socket.gaierror, ssl.SSLCertVerificationError, ssl.SSLError, ConnectionRefusedError),
    (TimeoutError,),
    (OSError,),
)
"""The more they tell, the sooner they are looked for among the causes."""


def translated(service: str, where: str, fault: BaseException) -> ApplianceError:
    """Translate what an SDK or a socket raised. `where` is the host; no key and no answer stands in the message."""
    if isinstance(fault, ApplianceError | WebSocketException):
        return link_faults.unreachable(service, where, fault)
    answer: Any = getattr(fault, "response", None)
    status = getattr(answer, "status_code", None)
    if isinstance(status, int):
        return link_faults.refused(service, status, answer.headers, _body(answer))
    causes = tuple(_causes(fault))
    for kinds in _TELLING:
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            return link_faults.unreachable(service, where, found)
    if any("Timeout" in type(cause).__name__ for cause in causes):
        return link_faults.unreachable(service, where, TimeoutError())
    return ProviderUnavailable(f"{service}: {type(causes[-1]).__name__} at {where}")


def _body(answer: Any) -> bytes:
    """As far as it was read."""
    try:
        body = answer.content
    except Exception as fault:
        if type(fault).__name__ in {"ResponseNotRead", "StreamConsumed", "StreamClosed"}:
            return b""
        raise
    return bytes(body[:65_536])


def _causes(fault: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = fault
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
