"""Looking up a provider's name before it is dialled, on threads of its own.

The system's resolver cannot be cancelled, and takes half a minute to say that it reached nobody. An event loop's own
look-ups share a handful of threads with everything else that is done in threads: redialling alone would use them up.
"""

import asyncio
import ipaddress
import socket
import threading
import urllib.request
from dataclasses import dataclass, field
from typing import Final

AT_ONCE: Final = 12
"""Look-ups of one name that hang; a further dial waits for these. The first that comes to an end speaks for all."""
_PROXIES: Final = ("all", "http", "https", "socks", "ws", "wss")


@dataclass
class _Name:
    running: int = 0
    waiting: set["asyncio.Future[None]"] = field(default_factory=set)


_names: Final[dict[str, _Name]] = {}
_lock: Final = threading.Lock()


async def look_up(host: str) -> None:
    """Return once `host` has an address; raise OSError (socket.gaierror) where it has none. Cancel it at any time."""
    if _is_address(host) or _behind_proxy(host):
        return
    found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with _lock:
        name = _names.setdefault(host, _Name())
        name.waiting.add(found)
        begin = name.running < AT_ONCE
        name.running += begin
    if begin:
        threading.Thread(target=_ask, args=(host, name), name=f"look up {host}", daemon=True).start()
    try:
        await found
    finally:
        with _lock:
            name.waiting.discard(found)


def _ask(host: str, name: _Name) -> None:
    """On a thread of its own."""
    fault: OSError | None = None
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        fault = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "no such name")
    with _lock:
        name.running -= 1
        waiting, name.waiting = name.waiting, set()
    for found in waiting:
        try:
            found.get_loop().call_soon_threadsafe(_settle, found, fault)
        except RuntimeError:
            continue  # its loop has been closed meanwhile


def _settle(found: "asyncio.Future[None]", fault: OSError | None) -> None:
    if found.done():
        return
    if fault is None:
        found.set_result(None)
    else:
        found.set_exception(type(fault)(*fault.args))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _behind_proxy(host: str) -> bool:
    """A proxy looks the name up: here it may have no address."""
    proxies = urllib.request.getproxies()
    return any(scheme in proxies for scheme in _PROXIES) and not urllib.request.proxy_bypass(host)
