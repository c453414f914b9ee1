# SPDX-License-Identifier: GPL-2.0-or-later
"""A module in the SIP library's stack that drops requests before anything answers them.

pjsua2 has no such hook: its library answers OPTIONS, and what it does not know, by itself. But the C function that adds
a module is in the same file, and modules see a request before the layers that answer. The library calls ours in
`libHandleEvents`, on the main thread.
"""

import ctypes
import ipaddress
import logging
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from drivers.sip_pjsua2.screen import Address

logger = logging.getLogger(__name__)

Ignores = Callable[[Address, bytes], bool]
_AFTER_TRANSPORT: Final = 9
"""The transport layer has 8, the transactions, which are the first to answer, 16."""

# struct pjsip_rx_data of PJSIP 2.x on a 64-bit machine: what stands before the packet differs from version to version,
# what stands behind it (PJSIP_MAX_PKT_LEN of the default) does not.
_PACKET: Final = (320, 312, 328)
_PACKET_ROOM: Final = 4_000
_LENGTH: Final = _PACKET_ROOM + 8
_ADDRESS: Final = _PACKET_ROOM + 16
_NAME: Final = _PACKET_ROOM + 48
_PORT: Final = _PACKET_ROOM + 96
_SIZE: Final = max(_PACKET) + _PORT + 4
_INET: Final = 2
_INET6: Final = 10

_OnRequest = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _Module(ctypes.Structure):
    """struct pjsip_module."""

    _fields_ = (
        ("prev", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("name_length", ctypes.c_ssize_t),
        ("id", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("load", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("unload", ctypes.c_void_p),
        ("on_rx_request", _OnRequest),
        ("on_rx_response", ctypes.c_void_p),
        ("on_tx_request", ctypes.c_void_p),
        ("on_tx_response", ctypes.c_void_p),
        ("on_tsx_state", ctypes.c_void_p),
    )


class Unreadable(ValueError):
    """The library's structure is not laid out as we know it."""


def read(data: bytes) -> tuple[Address, bytes]:
    """Source and text of a struct pjsip_rx_data. Raise Unreadable unless both of its notes of the source agree."""
    for start in _PACKET:
        found = _read(data[start:])
        if found is not None:
            return found
    raise Unreadable("the source of a request is not where it should be")


def _read(data: bytes) -> tuple[Address, bytes] | None:
    """The same, where the packet is the first that stands in `data`."""
    (length,) = struct.unpack_from("=q", data, _LENGTH)
    (family,) = struct.unpack_from("=H", data, _ADDRESS)
    (port,) = struct.unpack_from("!H", data, _ADDRESS + 2)
    try:
        noted = ipaddress.ip_address(data[_NAME : _NAME + 46].split(b"\0", 1)[0].decode("ascii"))
    except ValueError:
        return None
    begin = _ADDRESS + (4 if family == _INET else 8)
    size = {_INET: 4, _INET6: 16}.get(family, 0)
    agree = data[begin : begin + size] == noted.packed and struct.unpack_from("=i", data, _PORT)[0] == port
    return (noted, data[:length]) if agree and 0 < length <= _PACKET_ROOM else None


def _library() -> str:
    """The file that pjsua2 was loaded from."""
    native = (module for name, module in tuple(sys.modules.items()) if name.rpartition(".")[2] == "_pjsua2")
    path: str | None = next((module.__file__ for module in native), None)
    if path is None:
        raise OSError("pjsua2 is not loaded from a file")
    return path


class Sieve:
    """Lives as long as the library: it holds what the library points to."""

    def __init__(self, ignores: Ignores) -> None:
        """Put it in place, once the library is initialised. Raise OSError where it cannot be."""
        self._ignores = ignores
        self.blind = False
        """It cannot read the library's requests, and lets them all through."""
        code = ctypes.CDLL(_library())
        try:
            endpoint, register = code.pjsua_get_pjsip_endpt, code.pjsip_endpt_register_module
        except AttributeError as error:
            raise OSError("the library does not export its modules' functions") from error
        endpoint.restype = ctypes.c_void_p
        register.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        name = b"handset-sieve"
        self._module = _Module(
            name=name,
            name_length=len(name),
            id=-1,
            priority=_AFTER_TRANSPORT,
            on_rx_request=_OnRequest(self._on_request),
        )
        status = register(endpoint(), ctypes.addressof(self._module))
        if status:
            raise OSError(f"the library did not take our module: {status}")

    def _on_request(self, data: Any) -> int:
        """1 ends it here: nobody else sees the request. Nothing may escape into the library."""
        try:
            return int(self._ignores(*read(ctypes.string_at(data, _SIZE))))
        except Exception as error:  # noqa: BLE001
            if not self.blind:
                self.blind = True
                logger.warning("strangers are refused, not ignored: %s", error)
            return 0
