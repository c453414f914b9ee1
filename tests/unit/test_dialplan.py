"""What an agent may dial, and what only a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.schema import EMERGENCY_NUMBERS
from appliance.dialplan import counted, is_caller, is_emergency, matches, read, refusal, sends_us

SERVER = "pbx.example.org"
OTHER = "other.example.org:5070"


def fault(
    to: str,
    *,
    by_agent: bool = True,
    contact: bool = False,
    patterns: tuple[str, ...] = ("*",),
    people: bool = True,
) -> str:
    found = refusal(
        to,
        servers=(SERVER, OTHER),
        by_agent=by_agent,
        contact=contact,
        patterns=patterns,
        emergency=EMERGENCY_NUMBERS,
        people_call_emergency=people,
    )
    return found.code if found is not None else ""


DISGUISED = [
    *("112", "911", "999", "000", " 1 1 2 ", "1-1-2", "(911)", "9.1.1"),
    *("+112", "0112", "9911", "9,911".replace(",", ""), "00112", "+49112", "0049112", "+1 911", "01144999"),
    *("*31#112", "#31#112", "*67911", "112#"),
    *(
        "sip:112@pbx.example.org",
        "SIP:112@gateway.example.net",
        "112@anywhere",
        "sip:%31%31%32@pbx.example.org",
    ),
    *(
        "sip:112;phone-context=x@pbx",
        "sip:112@pbx;user=phone",
        "sip:911@pbx?Subject=x",
        "tel:112",
        "tel:+112;x=y",
    ),
    *("１１２", "urn:service:sos", "urn:service:sos.police"),  # noqa: RUF001  # wide digits are meant
]


@pytest.mark.parametrize("to", DISGUISED)
def test_an_agent_never_dials_an_emergency_number_however_it_is_written(to: str) -> None:
    assert fault(to, patterns=("*", "sip:*@*")) == "emergency_not_dialled"
    assert fault(to, contact=True) == "emergency_not_dialled"


@pytest.mark.parametrize("to", DISGUISED)
def test_a_person_dials_one_unless_the_configuration_forbids_it(to: str) -> None:
    assert fault(to, by_agent=False) == ""
    assert fault(to, by_agent=False, people=False) == "emergency_not_dialled"


@pytest.mark.parametrize(
    "to",
    ["1120", "91100", "+491121234567", "2112", "01129", "100", "9990000", "+14155550112", "112a", "call 112"],
)
def test_numbers_that_only_contain_one_are_no_emergency(to: str) -> None:
    assert fault(to) == ""


@given(st.text(alphabet=" -.()/", max_size=3), st.sampled_from(EMERGENCY_NUMBERS))
def test_no_spacing_hides_an_emergency_number(gap: str, number: str) -> None:
    assert is_emergency(gap.join(number), EMERGENCY_NUMBERS)


@pytest.mark.parametrize(
    ("pattern", "to", "allowed"),
    [
        ("2xx", "201", True),
        ("2XX", "2 0 1", True),
        ("2xx", "2001", False),
        ("2xx", "2a1", False),
        ("+49*", "+49 30 123-456", True),
        ("+49*", "+43 1 123456", False),
        ("+49*", "0049 30", False),
        ("reception", "Reception", True),
        ("reception", "receptionist", False),
        ("x-ray", "x-ray", True),
        ("2xx", "sip:201@pbx.example.org", True),
        ("2xx", "sip:201@pbx.example.org:5060", True),
        ("2xx", "sip:201@other.example.org", True),
        ("2xx", "201@elsewhere.example.net", False),
        ("*", "sip:201@elsewhere.example.net", False),
        ("sip:*@elsewhere.example.net", "sip:bob@elsewhere.example.net", True),
        ("sip:*@elsewhere.example.net", "bob@ELSEWHERE.example.net", True),
        ("sip:*@elsewhere.example.net", "sip:bob@evil.example.com", False),
        ("sip:*@*", "sip:bob@evil.example.com", True),
        ("2.x", "201", False),
        ("*", "", False),
    ],
)
def test_an_agent_dials_what_a_pattern_allows(pattern: str, to: str, allowed: bool) -> None:
    assert (fault(to, patterns=(pattern,)) == "") is allowed


@pytest.mark.parametrize(
    "to",
    [
        "sip:201@pbx.example.org;transport=tcp",
        "sip:201@pbx.example.org?Replaces=1",
        "sip:201@evil.example.com?@pbx.example.org",
        "sip:201@evil.example.com@pbx.example.org",
        "sip:201@pbx.example.org.evil.example.com",
        "sip:201",
        "sip:evil.example.com",
        "201\r\nVia: x",
        "sip:201@pbx.example.org>,<sip:9@evil.example.com",
    ],
)
def test_an_agent_gets_no_further_by_tricks_with_an_address(to: str) -> None:
    assert fault(to, patterns=("2xx", "sip:*@partner.example.org")) == "dial_not_allowed"


def test_with_no_pattern_an_agent_dials_contacts_alone_and_a_person_anything() -> None:
    assert fault("201", patterns=()) == "dial_not_allowed"
    assert fault("sip:boss@home.example.net", patterns=(), contact=True) == ""
    assert fault("sip:anyone@anywhere.example.net;x=y", by_agent=False, patterns=()) == ""


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_judged(pattern: str, to: str) -> None:
    dialled = read(to, (SERVER,))
    assert dialled is None or matches(pattern, dialled) in (True, False)
    assert is_caller(pattern, to, SERVER) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "peer", "is_them"),
    [
        ("+44*", "sip:+442071234@pbx.example.org", True),
        ("+44*", "sip:+442071234@carrier.example.net;user=phone", True),
        ("anonymous", "sip:Anonymous@anonymous.invalid", True),
        ("sip:*@spam.example.net", "sip:12@spam.example.net", True),
        ("sip:*@spam.example.net", "sip:12@good.example.net", False),
        ("2xx", "sip:300@pbx.example.org", False),
        ("*", "nonsense", True),
    ],
)
def test_a_pattern_names_a_caller_by_number_or_whole_address(pattern: str, peer: str, is_them: bool) -> None:
    assert is_caller(pattern, peer, SERVER) is is_them


@pytest.mark.parametrize(
    ("target", "host", "sent"),
    [
        ("<sip:201@pbx.example.org>", "pbx.example.org", True),
        ("sip:201@pbx.example.org;transport=udp?Replaces=1", "pbx.example.org", True),
        ('"Boss" <sip:201@pbx.example.org>', "pbx.example.org", True),
        ("sip:0900123@pbx.example.org", "pbx.example.org", False),
        ("sip:112@pbx.example.org", "pbx.example.org", False),
        ("<sip:112;x=y@phone.example.net>", "phone.example.net", False),
        ("sip:%31%31%32@phone.example.net", "phone.example.net", False),
        ("sip:bob@phone.example.net", "phone.example.net", True),
        ("urn:service:sos", "", False),
    ],
)
def test_a_caller_sends_us_at_our_server_only_where_an_agent_may_dial(
    target: str, host: str, sent: bool
) -> None:
    assert sent_to(target, host, through_server=False) is sent


@pytest.mark.parametrize(
    ("target", "host", "sent"),
    [
        ("<sip:0900123@192.0.2.1>", "192.0.2.1", False),
        ("<sip:0900123@pbx.example.org.>", "pbx.example.org.", False),
        ("<sip:201@192.0.2.1>", "192.0.2.1", True),
        ("<sip:bob@partner.example.net>", "partner.example.net", True),
        ("<sip:112@192.0.2.1>", "192.0.2.1", False),
    ],
)
def test_where_a_server_is_given_all_that_is_dialled_no_other_name_of_it_gets_a_caller_further(
    target: str, host: str, sent: bool
) -> None:
    assert sent_to(target, host, through_server=True) is sent


def sent_to(target: str, host: str, *, through_server: bool) -> bool:
    return sends_us(
        target,
        host,
        servers=(SERVER,),
        through_server=through_server,
        patterns=("2xx", "sip:*@partner.example.net"),
        emergency=EMERGENCY_NUMBERS,
    )


@pytest.mark.parametrize("tail", ["%3Bx=y", "%00", "%00x", "%2C1", "*", "##", "%40here", "%3Fx", "%E2%80%8B"])
def test_what_a_server_cuts_off_a_number_hides_no_emergency_number(tail: str) -> None:
    assert fault(f"sip:112{tail}@{SERVER}", patterns=("*",))
    assert fault(f"sip:++112@{SERVER}", patterns=("*",))


@pytest.mark.parametrize(
    "peer", ["sip:666:secret@spam.example.net", "sip:666%3Bx@spam.example.net;user=phone"]
)
def test_no_password_and_no_escape_hides_a_caller(peer: str) -> None:
    assert is_caller("666", peer, SERVER)
    assert is_caller("sip:*@spam.example.net", peer, SERVER)


@pytest.mark.parametrize(
    "to",
    [
        "+49 221 123-456",
        "0049221123456",
        "01149221123456",
        "tel:+49-221-123456",
        f"sip:+49221123456@{SERVER}",
        f"<sip:0049221123456@{SERVER};transport=tcp?Replaces=a>",
        f"sip:%2B49221123456;phone-context=x@{SERVER}",
    ],
)
def test_one_number_counts_as_one_however_it_is_written(to: str) -> None:
    assert counted(to, (SERVER,)) == "+49221123456@"


@pytest.mark.parametrize(
    "to", ["+49221123457", "0221123456", "sip:+49221123456@192.0.2.9", "reception", "004"]
)
def test_other_numbers_are_counted_apart(to: str) -> None:
    assert counted(to, (SERVER,)) != "+49221123456@"
