"""Requests within a call: which are answered before the library would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2.within import answer


def request(
    method: str, *, call_id: str = "up", tag: str = ";tag=ours", headers: str = "", body: str = ""
) -> bytes:
    lines = f"{method} sip:handset@192.0.2.1 SIP/2.0\r\nTo: <sip:handset@192.0.2.1>{tag}\r\ni: {call_id}\r\n"
    return f"{lines}{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("OPTIONS"), 200),
        (request("INFO"), 200),
        (request("INFO", body="Signal=1"), None),
        (request("INFO", headers="Info-Package: dtmf\r\n"), None),
        (request("INVITE"), None),
        (request("INVITE", tag="", headers="Replaces: a@b;to-tag=1;from-tag=2;early-only\r\n"), None),
        (request("INVITE", tag="", headers="Replaces: a@b\r\n ; From-Tag = 2 ; to-tag=1\r\n"), None),
        (request("INVITE", tag="", headers="Replaces: a@b;to-tag=1\r\n"), 400),
        (request("INVITE", tag="", headers="Replaces: a@b;to-tag=1;to-tag=2\r\n"), 400),
        (request("INVITE", tag="", headers="Replaces: a@b;to-tag=1;from-tag=\r\n"), 400),
        (request("INVITE", tag="", headers="Replaces: ;to-tag=1;from-tag=2\r\n"), 400),
        (request("INVITE", tag="", headers="Replaces: a;to-tag=1;from-tag=2\r\n" * 2), 400),
        (request("BYE", call_id="over"), None),
        (request("INVITE", call_id="over"), 481),
        (request("OPTIONS", call_id="over"), 481),
        (request("INVITE", call_id="new", tag=""), None),
        (request("OPTIONS", call_id="new", tag=""), None),
        (b"OPTIONS sip:handset SIP/2.0\r\nTo: <sip:handset>;tag=x\r\n\r\n", None),
    ],
)
def test_whether_a_call_is_up_is_told_and_nothing_else(asked: bytes, code: int | None) -> None:
    assert answer(asked, lambda: {"up"}) == code


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(packet: bytes) -> None:
    assert answer(packet, lambda: {"up"}) in (None, 200, 400, 481)
