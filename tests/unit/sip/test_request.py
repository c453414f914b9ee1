"""What Handset is told about an INVITE."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2.request import MAX_HEADERS, MAX_VALUE, Request

INVITE = (
    "INVITE sip:handset@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\n"
    'f: "Ann \\"the\\" Example" <sip:ann@example.org>;tag=1\r\n'
    "To: <sip:handset@127.0.0.1>\r\nX-Reason: late\r\n  folded\r\nAuthorization: Digest secret\r\n\r\nX-Body: no\r\n"
)


def test_the_caller_and_the_chosen_headers_are_found():
    request = Request.parse(INVITE)
    assert request.peer == "sip:ann@example.org"
    assert request.display_name == 'Ann "the" Example'
    assert request.headers["x-reason"] == "late folded"
    assert request.headers["to"] == "<sip:handset@127.0.0.1>"


def test_credentials_the_body_and_headers_of_no_interest_are_left_out():
    assert not {"authorization", "via", "x-body"} & set(Request.parse(INVITE).headers)


def test_a_caller_without_brackets_is_understood():
    assert (
        Request.parse("INVITE x SIP/2.0\r\nFrom: sip:ann@example.org;tag=1\r\n\r\n").peer
        == "sip:ann@example.org"
    )


def test_a_name_without_quotes_is_understood():
    request = Request.parse("INVITE x SIP/2.0\r\nFrom: Ann Example <sip:ann@example.org>\r\n\r\n")
    assert (request.display_name, request.peer) == ("Ann Example", "sip:ann@example.org")


def test_the_first_of_several_headers_of_a_name_counts():
    assert Request.parse("INVITE x SIP/2.0\r\nX-A: 1\r\nx-a: 2\r\n\r\n").headers == {
        "request-uri": "x",
        "x-a": "1",
    }


@given(st.text(st.characters(), max_size=500))
def test_any_text_gives_bounded_printable_headers(text):
    request = Request.parse(f"INVITE x SIP/2.0\r\nFrom: {text}\r\nX-A: {text}\r\n{text}")
    assert len(request.headers) <= MAX_HEADERS
    for name, value in request.headers.items():
        assert len(name) <= 64
        assert len(value) <= MAX_VALUE
        assert value.isprintable()
        value.encode()


def test_more_headers_than_allowed_are_cut_off():
    message = "INVITE x SIP/2.0\r\n" + "".join(f"X-{number}: y\r\n" for number in range(100)) + "\r\n"
    assert len(Request.parse(message).headers) == MAX_HEADERS
