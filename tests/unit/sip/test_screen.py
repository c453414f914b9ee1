"""Whose requests get an answer."""

import ipaddress
import struct

import pytest

from drivers.sip_pjsua2.received import Unreadable, read
from drivers.sip_pjsua2.screen import Screen

OPTIONS = b"OPTIONS sip:x@y SIP/2.0\r\nCall-ID: 17@there\r\n\r\n"


def ask(screen: Screen, source: str, packet: bytes = OPTIONS) -> bool:
    return screen.ignores(ipaddress.ip_address(source), packet)


def test_once_it_is_told_who_may_ask_all_others_are_strangers() -> None:
    screen = Screen(set)
    assert not ask(screen, "203.0.113.5"), "a caller of the first milliseconds is refused, not ignored"
    screen.admit(["127.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    assert not ask(screen, "127.0.0.1")
    assert not ask(screen, "192.0.2.7")
    assert not ask(screen, "::ffff:192.0.2.7")
    assert not ask(screen, "2001:db8::1")
    assert ask(screen, "192.0.2.8")
    assert ask(screen, "2001:db9::1")
    assert screen.ignored == 2
    screen.admit([])
    assert ask(screen, "127.0.0.1")


@pytest.mark.parametrize(
    "header", [b"Call-ID: 17@there", b"call-id:17@there", b"i: 17@there ", b"I:\t17@there"]
)
def test_a_stranger_within_a_call_of_ours_is_heard(header: bytes) -> None:
    screen = Screen(lambda: {"17@there"})
    screen.admit([])
    assert not ask(screen, "203.0.113.5", b"BYE sip:x@y SIP/2.0\r\n" + header + b"\r\n\r\n")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\r\n\r\n",
        b"BYE sip:x SIP/2.0\r\nCall-ID: 18@there\r\n\r\n",
        b"\xff" * 4000,
        b"X-Call-ID: 17@there",
    ],
)
def test_whatever_else_a_stranger_sends_is_ignored(packet: bytes) -> None:
    screen = Screen(lambda: {"17@there"})
    screen.admit([])
    assert ask(screen, "203.0.113.5", packet)


AT = 0x7F00_1234_5000


def rx_data(
    source: bytes,
    name: bytes,
    family: int,
    port: int,
    noted_port: int,
    start: int = 320,
    ahead: bytes = b"",
    astray: int = 0,
) -> bytes:
    """As it stands at AT; `ahead` is a message before ours in the packet."""
    address = (
        struct.pack("=H", family) + struct.pack("!H", port) + (b"" if family == 2 else bytes(4)) + source
    )
    whole = ahead + OPTIONS
    packet = whole.ljust(4000, b"\0") + bytes(8) + struct.pack("=q", len(whole))
    message = struct.pack("=Qi", AT + start + len(ahead) + astray, len(OPTIONS))
    return (
        bytes(start) + packet + address.ljust(28, b"\0") + struct.pack("=i", 28) + name.ljust(48, b"\0")
        + struct.pack("=i", noted_port) + bytes(4) + message
    ).ljust(4500, b"\0")  # fmt: skip


@pytest.mark.parametrize("start", [312, 320, 328])
def test_the_librarys_note_of_a_request_is_read(start: int) -> None:
    assert read(rx_data(bytes((192, 0, 2, 7)), b"192.0.2.7", 2, 5070, 5070, start), AT) == (
        ipaddress.ip_address("192.0.2.7"),
        OPTIONS,
    )
    six = ipaddress.ip_address("2001:db8::5")
    assert read(rx_data(six.packed, b"2001:db8::5", 10, 5070, 5070, start), AT)[0] == six


def test_of_a_packet_that_brings_several_it_is_the_one_in_hand() -> None:
    data = rx_data(bytes((192, 0, 2, 7)), b"192.0.2.7", 2, 5070, 5070, ahead=b"BYE sip:x@y SIP/2.0\r\n\r\n")
    assert read(data, AT)[1] == OPTIONS


@pytest.mark.parametrize("astray", [-1, 1, 4000, -(1 << 40)])
def test_a_message_that_stands_elsewhere_is_not_believed(astray: int) -> None:
    with pytest.raises(Unreadable):
        read(rx_data(bytes((192, 0, 2, 7)), b"192.0.2.7", 2, 5070, 5070, astray=astray), AT)


@pytest.mark.parametrize(
    ("source", "name", "port"),
    [
        (bytes((192, 0, 2, 8)), b"192.0.2.7", 5070),
        (bytes((192, 0, 2, 7)), b"192.0.2.7", 5071),
        (bytes((192, 0, 2, 7)), b"", 5070),
        (bytes((192, 0, 2, 7)), b"\xff\xfe", 5070),
    ],
)
def test_a_structure_that_is_laid_out_otherwise_is_not_believed(
    source: bytes, name: bytes, port: int
) -> None:
    with pytest.raises(Unreadable):
        read(rx_data(source, name, 2, 5070, port), AT)
