"""A name server for a test: it answers from a list of records, and can be told to be silent.

with NameServer([Record("_sip._udp.example.org", dns.SRV, "a.example.org", 10, 0, 5070)]) as server:
    ... dns_servers=[server.address]
"""

import socket
import struct
from collections.abc import Sequence

from drivers.sip_pjsua2 import dns
from drivers.sip_pjsua2.dns import Record
from tests.rig.datagrams import DatagramHost

_NO_SUCH_NAME = 3


def found_in(zone: Sequence[Record], question: bytes) -> bytes:
    """The answer to `question`."""
    number = struct.unpack_from("!H", question)[0]
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind = struct.unpack_from("!H", question, at + 1)[0]
    name = ".".join(labels).lower()
    found = [record for record in zone if record.name == name and record.kind == kind]
    known = any(record.name == name for record in zone)
    head = struct.pack("!HHHHHH", number, 0x8180 | (0 if known else _NO_SUCH_NAME), 1, len(found), 0, 0)
    return head + question[12 : at + 5] + b"".join(_written(record) for record in found)


def _written(record: Record) -> bytes:
    data = _data(record)
    return (
        b"\xc0\x0c" + struct.pack("!HHIH", record.kind, 1, 60, len(data)) + data
    )  # the name: see the question


def _data(record: Record) -> bytes:
    if record.kind in (dns.A, dns.AAAA):
        return socket.inet_pton(socket.AF_INET if record.kind == dns.A else socket.AF_INET6, record.target)
    target = b"".join(bytes([len(part)]) + part.encode() for part in record.target.split(".")) + b"\0"
    if record.kind == dns.SRV:
        return struct.pack("!HHH", record.order, record.weight, record.port) + target
    service = record.service.encode()
    flags = struct.pack("!HH", record.order, record.weight) + b"\x01s"
    return flags + bytes([len(service)]) + service + b"\0" + target


class NameServer(DatagramHost):
    """`zone` may be changed at any time; `asked` is what was asked for."""

    def __init__(self, zone: Sequence[Record]) -> None:
        super().__init__()
        self.zone = list(zone)
        self.asked: list[str] = []

    def answer(self, packet: bytes) -> bytes:
        self.asked.append(packet[12:-5].decode("latin-1"))
        return found_in(self.zone, packet)
