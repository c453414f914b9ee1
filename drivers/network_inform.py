"""Asks a DHCP server for one option of a network that we have an address in already: DHCPINFORM (RFC 2131, 4.4.3).

NetworkManager's own client neither requests option 66 nor shows it. `encode` and `decode` are pure.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Final

from appliance.errors import NotPossible

TFTP_SERVER_NAME: Final = 66
_SERVER_PORT: Final = 67
_CLIENT_PORT: Final = 68
_MAGIC: Final = b"\x63\x82\x53\x63"
_HEADER: Final = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s")
_PAD, _END, _OVERLOAD, _TYPE, _WANTED, _VENDOR = 0, 255, 52, 53, 55, 60
_INFORM, _ACK = 8, 5
_TRIES: Final = 3
_SECONDS: Final = 2.0
_LONGEST: Final = 4096
_IPV4: Final = 0x0800
_IP_HEADER: Final = 20
_UDP_HEADER: Final = 8


def encode(transaction: bytes, address: str, hardware: bytes, option: int) -> bytes:
    """A request for `option`; `transaction` four bytes, `hardware` six, `address` ours."""
    header = _HEADER.pack(
        1, 1, len(hardware), 0, transaction, 0, 0, socket.inet_aton(address),
        bytes(4), bytes(4), bytes(4), hardware, b"", b"",
    )  # fmt: skip
    options = [(_TYPE, bytes([_INFORM])), (_WANTED, bytes([option])), (_VENDOR, b"handset")]
    body = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return header + _MAGIC + body + bytes([_END])


def decode(data: bytes, transaction: bytes) -> Mapping[int, bytes] | None:
    """The options of an answer to `transaction`, those in several pieces joined; None for anything else."""
    start = _HEADER.size + len(_MAGIC)
    if len(data) < start or data[_HEADER.size : start] != _MAGIC:
        return None
    fields = _HEADER.unpack_from(data)
    if fields[0] != 2 or fields[4] != transaction:
        return None
    options: dict[int, bytes] = {}
    _collect(data[start:], options)
    overload = options.get(_OVERLOAD, b"\0")[:1]
    if overload in (b"\1", b"\3"):
        _collect(fields[13], options)
    if overload in (b"\2", b"\3"):
        _collect(fields[12], options)
    return options if options.get(_TYPE) == bytes([_ACK]) else None


def _collect(data: bytes, options: dict[int, bytes]) -> None:
    at = 0
    while at < len(data) and data[at] != _END:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            return
        options[code] = options.get(code, b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def payload(packet: bytes) -> bytes:
    """What is in an IPv4 packet that holds a whole UDP datagram to the client's port; nothing for any other."""
    if len(packet) < _IP_HEADER or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
        return b""
    at = (packet[0] & 0x0F) * 4
    fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
    if (
        fragment
        or len(packet) < at + _UDP_HEADER
        or int.from_bytes(packet[at + 2 : at + 4], "big") != _CLIENT_PORT
    ):
        return b""
    return packet[at + _UDP_HEADER :]


def ask(interface: str, address: str, hardware: bytes, server: str, option: int = TFTP_SERVER_NAME) -> str:
    """The option's text, "" where the server has none or does not answer. Blocks up to six seconds. Raise NotPossible
    where we may not ask at all: the port belongs to root."""
    transaction = os.urandom(4)
    request = encode(transaction, address, hardware, option)
    try:
        # The answer goes to whoever holds the port, which is the DHCP client: we read along.
        with (
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4)) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind((interface, _IPV4))
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            mouth.bind((address, _CLIENT_PORT))
            for _ in range(_TRIES):
                mouth.sendto(request, (server, _SERVER_PORT))
                if (found := _await(ear, transaction)) is not None:
                    return found.get(option, b"").split(b"\0")[0].decode("ascii", "replace").strip()
    except OSError as error:
        raise NotPossible(f"the DHCP server cannot be asked: {error.strerror}", hint="as root") from error
    return ""


def _await(ear: socket.socket, transaction: bytes) -> Mapping[int, bytes] | None:
    until = time.monotonic() + _SECONDS
    while (left := until - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            packet = ear.recv(_LONGEST)
        except TimeoutError:
            return None
        if (options := decode(payload(packet), transaction)) is not None:
            return options
    return None
