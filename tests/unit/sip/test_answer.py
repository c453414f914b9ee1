"""What a registrar's answer says beside its code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2 import answer, tls


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("Retry-After: 18", 18),
        ("retry-after : 18 (in a meeting)", 18),
        ("Retry-After: 3600;duration=60", 3600),
        ("Retry-After: soon", 0),
        ("X: Retry-After: 3", 0),
        ("", 0),
    ],
)
def test_how_long_the_server_wants_to_be_left_alone(headers, seconds):
    assert answer.retry_after(f"SIP/2.0 503 Busy\r\n{headers}\r\n\r\nRetry-After: 9") == seconds


@pytest.mark.parametrize(
    ("contact", "server"),
    [
        ("Contact: <sip:100@192.0.2.1:5070;transport=udp>;q=0.5", "192.0.2.1:5070"),
        ('m: "Front desk" <sip:pbx.example.org>', "pbx.example.org"),
        ("Contact: sip:[2001:db8::1]:5062", "[2001:db8::1]:5062"),
        ("Contact: *", ""),
        ("Contact: <mailto:a@b>", ""),
        ("", ""),
    ],
)
def test_where_a_redirection_points_to(contact, server):
    assert answer.moved_to(f"SIP/2.0 302 Moved\r\n{contact}\r\n\r\n") == server


@given(st.text(max_size=400))
def test_garbage_says_nothing_wrong(text):
    assert answer.retry_after(text) >= 0
    assert isinstance(answer.moved_to(text), str)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (1 << 2, "expired"),
        (1 << 30, "another name"),
        (1 | 1 << 30, "another name"),
        (2, "issuer"),
        (1 << 9, "trusted"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_a_sentence_with_a_remedy(status, word):
    message, hint = tls.fault(status, "pbx\x00example")
    assert word in message
    assert message.endswith("(pbxexample)")
    assert hint
