"""Whom a far end may send us to, and what a message summary says."""

import pytest

from drivers.sip_pjsua2.referral import follows, is_barred, messages

SERVERS = ["pbx.example.org:5061"]


@pytest.mark.parametrize(
    ("policy", "target", "followed"),
    [
        ("server", "<sip:201@pbx.example.org>", True),
        ("server", "<sip:201@pbx.example.org?Replaces=a%3Bto-tag%3Db>", True),
        ("server", '"Carol" <SIP:201@PBX.example.org:5070;transport=tcp>', True),
        ("server", "sip:201@192.0.2.7", True),
        ("server", "sip:premium@evil.example.net", False),
        ("server", "tel:+4990012345", False),
        ("server", "", False),
        ("any", "sip:premium@evil.example.net", True),
        ("any", "http://evil.example.net", False),
        ("never", "sip:201@pbx.example.org", False),
        ("server", "<sip:201@pbx.example.org;maddr=192.0.2.9>", False),
        ("server", "<sip:201@pbx.example.org;transport=udp;MAddr=192.0.2.9>", False),
        ("server", "<sip:201@pbx.example.org?Replaces=a%3Bto-tag%3Db&Require=replaces>", True),
        ("server", "<sip:201@pbx.example.org?Route=%3Csip:192.0.2.9;lr%3E>", False),
        ("any", "<sip:201@pbx.example.org?Replaces=a&P-Asserted-Identity=%3Csip:boss@pbx%3E>", False),
    ],
)
def test_the_server_and_the_far_ends_own_host_are_followed(policy: str, target: str, followed: bool) -> None:
    assert follows(policy, target, "<sip:bob@192.0.2.7:5060>", SERVERS) is followed


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("Messages-Waiting: yes\r\nMessage-Account: sip:1@x\r\nVoice-Message: 2/8 (0/2)\r\n", (True, 2, 8)),
        ("messages-waiting: no\nvoice-message: 0/3\n", (False, 0, 3)),
        ("Messages-Waiting: yes\r\n", (True, 0, 0)),
        ("Voice-Message: 2/8", None),
        ("Messages-Waiting: yes\r\nVoice-Message: many/-1\r\n", (True, 0, 0)),
        ("", None),
    ],
)
def test_a_message_summary_is_read(body: str, told: tuple[bool, int, int] | None) -> None:
    assert messages(body) == told


@pytest.mark.parametrize(
    ("barred", "refused"),
    [
        (("2026-03-02", ("+49900123456@",)), True),
        (("2026-03-02", None), True),
        (("2026-03-02", ("+49900123457@",)), False),
        (("2026-03-01", None), False),
        (("", ()), False),
    ],
)
def test_whom_agents_may_call_no_more_nobody_has_us_call_that_day(barred, refused: bool) -> None:
    target = "<sip:0049900123456@pbx.example.org;user=phone?Replaces=a>"
    assert is_barred(target, SERVERS, barred, "2026-03-02") is refused
