"""What a person dials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import RequestInvalid, UnknownName
from drivers.sip_pjsua2 import address
from drivers.sip_pjsua2.address import account_for


@pytest.mark.parametrize(
    ("to", "server", "uri"),
    [
        ("100", "pbx.example", "sip:100@pbx.example"),
        ("100", "pbx.example:5070", "sip:100@pbx.example:5070"),
        (" +49 (30) 123-45 ", "pbx", "sip:+493012345@pbx"),
        ("*98#", "pbx", "sip:*98%23@pbx"),
        ("alice", "pbx", "sip:alice@pbx"),
        ("alice@10.0.0.7", "pbx", "sip:alice@10.0.0.7"),
        ("sip:alice@10.0.0.7:5062;transport=tcp", "", "sip:alice@10.0.0.7:5062;transport=tcp"),
        ("SIP:alice@host", "", "sip:alice@host"),
        ("sips:alice@host", "", "sips:alice@host"),
        ("sip:10.0.0.7", "", "sip:10.0.0.7"),
        ("sip:alice@[2001:db8::1]:5060", "", "sip:alice@[2001:db8::1]:5060"),
    ],
)
def test_what_is_dialled_becomes_a_sip_uri(to, server, uri):
    assert str(address.dialled(to, server)) == uri


@pytest.mark.parametrize(
    "to",
    [
        "",
        "   ",
        "sip:",
        "sip:@host",
        "sip:alice@",
        "sip:alice@host:70000",
        "sip:alice@ho st",
        "sip:alice@host\r\nX: y",
        "alice bob",
        "sip:alice@host?Replaces=1",
        "<sip:alice@host>",
        "tel:+49301",
        "http://host",
        "a" * 300,
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(to):
    with pytest.raises(RequestInvalid) as refusal:
        address.dialled(to, "pbx")
    assert refusal.value.hint


def test_an_extension_needs_a_server():
    with pytest.raises(RequestInvalid, match="no SIP server"):
        address.dialled("100", "")
    with pytest.raises(RequestInvalid, match="no SIP server at which '210' could be an extension"):
        address.dialled("210", "")


@given(st.text(max_size=60))
def test_nothing_that_is_dialled_brings_a_line_break_or_a_header(to):
    try:
        uri = str(address.dialled(to, "pbx"))
    except RequestInvalid:
        return
    assert uri.isascii()
    assert not set(uri) & set('\r\n \t<>"?')


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", ("host", 0)),
        ("host:5070", ("host", 5070)),
        ("[::1]:5070", ("::1", 5070)),
        ("::1", ("::1", 0)),
        ("[::1]", ("::1", 0)),
        ("host:x", ("host", 0)),
    ],
)
def test_a_host_and_its_port_come_apart(text, parts):
    assert address.split_host(text) == parts


def test_digits_are_cleaned():
    assert address.tones("1 2-3 a#") == "123A#"


@pytest.mark.parametrize("digits", ["", "1,2", "E", "1" * 33])
def test_what_is_no_digit_is_refused(digits):
    with pytest.raises(RequestInvalid):
        address.tones(digits)


SERVERS = {"default": "pbx.example:5070", "sales": "sip.carrier.example", "lab": "pbx.example"}


@pytest.mark.parametrize(
    ("to", "named", "account"),
    [
        ("100", "", "default"),
        ("100", "lab", "lab"),
        ("sip:1@elsewhere.example", "", "default"),
        ("sip:1@SIP.Carrier.example:5060", "", "sales"),
        ("1@pbx.example", "", "lab"),
        ("sip:1@pbx.example:5070", "", "default"),
        ("sip:1@pbx.example", "default", "default"),
    ],
)
def test_the_account_that_calls_is_the_named_one_or_the_one_at_the_address(to, named, account):
    assert account_for(to, named, SERVERS) == account


def test_a_bare_number_needs_a_server():
    assert account_for("100", "", {"default": "", "sales": "carrier"}) == "sales"
    assert account_for("sip:1@127.0.0.1", "", {"default": "", "sales": "carrier"}) == "default"


def test_an_account_that_is_not_there_is_told():
    with pytest.raises(UnknownName):
        account_for("100", "nobody", SERVERS)
