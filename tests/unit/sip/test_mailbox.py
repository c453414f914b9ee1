"""A server that does not tell of the mailbox."""

import pytest

from drivers.sip_pjsua2.mailbox import refusal


def answer(
    status: str = "489 Bad Event", method: str = "SUBSCRIBE", sender: str = '"A" <sip:201@pbx>;tag=1'
) -> str:
    return f"SIP/2.0 {status}\r\nFrom: {sender}\r\nCSeq: 7 {method}\r\n\r\nCSeq: 7 SUBSCRIBE\r\n"


@pytest.mark.parametrize("sender", ['"A" <sip:201@pbx>;tag=1', "sip:201@pbx;tag=1"])
def test_a_refusal_says_whose_and_why(sender: str) -> None:
    assert refusal(answer(sender=sender)) == ("sip:201@pbx", "489 Bad Event")
    assert refusal(answer("404", sender=sender)) is None, "no status line"


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "401 Unauthorized", "407 Proxy"])
def test_what_is_no_refusal_is_none(status: str) -> None:
    assert refusal(answer(status)) is None


def test_other_requests_are_refused_elsewhere() -> None:
    assert refusal(answer(method="INVITE")) is None
