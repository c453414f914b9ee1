"""DHCPINFORM: what is asked, and which answers are believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.network_inform import TFTP_SERVER_NAME, decode, encode, payload

TRANSACTION = b"\x01\x02\x03\x04"
HEADER = 236


def answer(
    options: bytes, transaction: bytes = TRANSACTION, op: int = 2, sname: bytes = b"", file: bytes = b""
) -> bytes:
    request = encode(transaction, "10.0.0.7", b"\xb8\x27\xeb\x12\x3f\x2a", TFTP_SERVER_NAME)
    fields = bytearray(request[:HEADER])
    fields[0] = op
    fields[44:108] = sname.ljust(64, b"\0")
    fields[108:236] = file.ljust(128, b"\0")
    return bytes(fields) + b"\x63\x82\x53\x63" + options


ACK = bytes([53, 1, 5])
SERVER = bytes([66, 12]) + b"https://pbx/"


def test_a_request_is_as_rfc_2131_has_it():
    request = encode(TRANSACTION, "10.0.0.7", b"\xb8\x27\xeb\x12\x3f\x2a", TFTP_SERVER_NAME)
    assert request[:4] == bytes([1, 1, 6, 0])
    assert request[4:8] == TRANSACTION
    assert request[12:16] == bytes([10, 0, 0, 7])
    assert request[28:34] == b"\xb8\x27\xeb\x12\x3f\x2a"
    assert request[HEADER : HEADER + 7] == b"\x63\x82\x53\x63" + bytes([53, 1, 8])
    assert bytes([55, 1, 66]) in request
    assert request[-1] == 255


def test_the_option_is_found_also_in_pieces_and_where_the_server_name_would_stand():
    for data in (
        answer(ACK + b"\0" + SERVER + b"\xff"),
        answer(ACK + bytes([66, 6]) + b"https:" + bytes([66, 6]) + b"//pbx/" + b"\xff"),
        answer(ACK + bytes([52, 1, 2]) + b"\xff", sname=SERVER + b"\xff"),
        answer(ACK + bytes([52, 1, 1]) + b"\xff", file=SERVER + b"\xff"),
    ):
        options = decode(data, TRANSACTION)
        assert options is not None
        assert options[TFTP_SERVER_NAME] == b"https://pbx/"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        answer(ACK + SERVER, transaction=b"else"),
        answer(ACK + SERVER, op=1),
        answer(bytes([53, 1, 6]) + SERVER),
        answer(SERVER),
        answer(ACK + SERVER).replace(b"\x63\x82\x53\x63", b"\0\0\0\0"),
    ],
)
def test_what_is_no_answer_to_us_is_nothing(data):
    assert decode(data, TRANSACTION) is None


@settings(deadline=None)
@given(st.binary(max_size=700))
def test_no_packet_breaks_it(data):
    decode(data, TRANSACTION)
    decode(answer(data), TRANSACTION)


def packet(data: bytes, *, port: int = 68, protocol: int = 17, options: int = 0, fragment: int = 0) -> bytes:
    header = bytes([0x45 + options, 0, 0, 0, 0, 0, *fragment.to_bytes(2, "big"), 64, protocol]) + bytes(
        10 + options * 4
    )
    return header + bytes([0, 67, *port.to_bytes(2, "big"), 0, 0, 0, 0]) + data


def test_answers_are_read_along_from_what_the_interface_receives():
    assert payload(packet(b"answer")) == b"answer"
    assert payload(packet(b"answer", options=3)) == b"answer"
    assert payload(packet(b"answer", fragment=0x4000)) == b"answer"  # may not be fragmented, and is not
    newer = b"\x60" + packet(b"x")[1:]
    for other in (
        packet(b"x", port=53),
        packet(b"x", protocol=6),
        packet(b"x", fragment=0x2000),
        newer,
        b"\x45",
    ):
        assert payload(other) == b""


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_no_packet_of_the_interface_breaks_it(data):
    payload(data)
