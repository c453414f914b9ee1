# SPDX-License-Identifier: Apache-2.0
"""The little of DNS that finding a SIP server takes (RFC 3263): NAPTR, SRV, A and AAAA, asked over UDP.

`query` and `records` are pure and take any bytes that a network can bring; `ask` waits for the network.
"""

import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

A: Final = 1
AAAA: Final = 28
SRV: Final = 33
NAPTR: Final = 35
MAX_JUMPS: Final = 32
MAX_RECORDS: Final = 64
TIMEOUT: Final = 1.0
TRIES: Final = 2
_HEAD: Final = struct.Struct("!HHHHHH")
_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """`name` and `target` in lower case without the last dot. A and AAAA: `target` is the address.

    SRV: `order` is the priority. NAPTR: `weight` is the preference, `service` as in "SIP+D2U"; only those that replace.
    """

    name: str
    kind: int
    target: str
    order: int = 0
    weight: int = 0
    port: int = 0
    service: str = ""


class Malformed(ValueError):
    """That is no DNS message."""


def query(number: int, name: str, kind: int) -> bytes:
    """A question; raise Malformed where the name cannot be asked for."""
    try:
        labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    except UnicodeError as error:
        raise Malformed(f"no name: {name!r}") from error
    if not all(0 < len(label) < 64 for label in labels):
        raise Malformed(f"no name: {name!r}")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!HH", kind, 1)
    return _HEAD.pack(number, 0x0100, 1, 0, 0, 0) + question


def records(message: bytes, number: int) -> list[Record]:
    """What the answer to question `number` holds, additional records included; raise Malformed."""
    try:
        return _records(message, number)
    except (struct.error, IndexError, UnicodeError, ValueError) as error:
        raise Malformed(str(error)) from error


def _records(message: bytes, number: int) -> list[Record]:
    identity, flags, questions, *counts = _HEAD.unpack_from(message)
    if identity != number or not flags & 0x8000:
        raise Malformed("not the answer")
    at = _HEAD.size
    for _ in range(questions):
        _, at = _name(message, at)
        at += 4
    found = []
    for _ in range(min(sum(counts), MAX_RECORDS)):
        name, at = _name(message, at)
        kind, _, _, length = struct.unpack_from("!HHIH", message, at)
        at += 10
        record = _record(message, name, kind, at, length)
        at += length
        if at > len(message):
            raise Malformed("cut off")
        if record is not None:
            found.append(record)
    return found


def _record(message: bytes, name: str, kind: int, at: int, length: int) -> Record | None:
    data = message[at : at + length]
    if kind == A:
        return Record(name, kind, socket.inet_ntop(socket.AF_INET, data))
    if kind == AAAA:
        return Record(name, kind, socket.inet_ntop(socket.AF_INET6, data))
    if kind == SRV:
        priority, weight, port = struct.unpack_from("!HHH", data)
        target, _ = _name(message, at + 6)
        return Record(name, kind, target, priority, weight, port) if target else None
    if kind == NAPTR:
        order, preference = struct.unpack_from("!HH", data)
        start = at + 4
        texts = []
        for _ in range(3):
            size = message[start]
            texts.append(message[start + 1 : start + 1 + size].decode("ascii"))
            start += 1 + size
        target, _ = _name(message, start)
        return Record(name, kind, target, order, preference, 0, texts[1].upper()) if target else None
    return None


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    end = 0
    for _ in range(MAX_JUMPS + 128):
        size = message[at]
        if size >= 0xC0:
            end = end or at + 2
            at = (size & 0x3F) << 8 | message[at + 1]
        elif size == 0:
            return ".".join(labels).lower(), end or at + 1
        else:
            labels.append(message[at + 1 : at + 1 + size].decode("ascii", "replace"))
            at += 1 + size
    raise Malformed("a name without end")


def ask(servers: Iterable[tuple[str, int]], name: str, kind: int) -> list[Record]:
    """The records of `name`, from the first server that answers; empty where there are none, or nobody answers."""
    number = int.from_bytes(os.urandom(2), "big")
    try:
        question = query(number, name, kind)
    except Malformed:
        return []
    for host, port in [server for server in servers for _ in range(TRIES)]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as link:
            link.settimeout(TIMEOUT)
            try:
                link.connect((host, port))
                link.send(question)
                return records(link.recv(_SIZE), number)
            except (OSError, Malformed):
                continue
    return []
