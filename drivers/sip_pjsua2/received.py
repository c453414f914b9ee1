# SPDX-License-Identifier: GPL-2.0-or-later
"""What the SIP library holds of a message that came: its struct pjsip_rx_data, read from memory."""

import ipaddress
import struct
from typing import Final

from drivers.sip_pjsua2.screen import Address

# struct pjsip_rx_data of PJSIP 2.x on a 64-bit machine: what stands before the packet differs from version to version,
# what stands behind it (PJSIP_MAX_PKT_LEN of the default) does not.
_PACKET: Final = (320, 312, 328)
_PACKET_ROOM: Final = 4_000
_LENGTH: Final = _PACKET_ROOM + 8
_ADDRESS: Final = _PACKET_ROOM + 16
_NAME: Final = _PACKET_ROOM + 48
_PORT: Final = _PACKET_ROOM + 96
_MESSAGE: Final = _PACKET_ROOM + 104
_MESSAGE_LENGTH: Final = _PACKET_ROOM + 112
_PARSED: Final = _PACKET_ROOM + 120
SIZE: Final = max(_PACKET) + _PARSED + 8
_INET: Final = 2
_INET6: Final = 10


class Unreadable(ValueError):
    """The library's structure is not laid out as we know it."""


def read(data: bytes, at: int) -> tuple[Address, bytes]:
    """Source and text of a request, of a packet that may bring several; `data` stands at address `at`.

    Raise Unreadable unless both of the library's notes of the source agree.
    """
    _, found = _located(data, at)
    return found


def parsed(data: bytes, at: int) -> int:
    """The address of the library's struct pjsip_msg, which it made of the text. Raise Unreadable as `read` does."""
    start, _ = _located(data, at)
    return int(struct.unpack_from("=Q", data, start + _PARSED)[0])


def _located(data: bytes, at: int) -> tuple[int, tuple[Address, bytes]]:
    """Where the packet begins, and what it is."""
    for start in _PACKET:
        found = _read(data[start:], at + start)
        if found is not None:
            return start, found
    raise Unreadable("the source of a request is not where it should be")


def _read(data: bytes, at: int) -> tuple[Address, bytes] | None:
    """The same, where the packet is the first that stands in `data`."""
    (size,) = struct.unpack_from("=q", data, _LENGTH)
    (family,) = struct.unpack_from("=H", data, _ADDRESS)
    (port,) = struct.unpack_from("!H", data, _ADDRESS + 2)
    try:
        noted = ipaddress.ip_address(data[_NAME : _NAME + 46].split(b"\0", 1)[0].decode("ascii"))
    except ValueError:
        return None
    begin = _ADDRESS + (4 if family == _INET else 8)
    length = {_INET: 4, _INET6: 16}.get(family, 0)
    agree = data[begin : begin + length] == noted.packed and struct.unpack_from("=i", data, _PORT)[0] == port
    if not agree or not 0 < size <= _PACKET_ROOM:
        return None
    first = struct.unpack_from("=Q", data, _MESSAGE)[0] - at
    (length,) = struct.unpack_from("=i", data, _MESSAGE_LENGTH)
    return (noted, data[first : first + length]) if 0 <= first < first + length <= size else None
