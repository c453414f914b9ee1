"""Who calls, whom they called, which agent answers, and who asks to be answered at once."""

from dataclasses import dataclass

import pytest

from appliance.call.routing import Identity, agent_for, asks_to_be_answered, identity

SERVER = "pbx.example.org"


@dataclass(frozen=True)
class Desk:
    numbers: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()


AGENTS = {
    "plain": Desk(),
    "vip": Desk(numbers=("30*",), callers=("+4917*",)),
    "sales": Desk(numbers=("300", "sales")),
    "night": Desk(callers=("sip:*@branch.example.net",)),
}


@pytest.mark.parametrize(
    ("called", "caller", "agent"),
    [
        ("sip:300@pbx.example.org", "sip:200@pbx.example.org", "sales"),
        ("sip:Sales@pbx.example.org", "sip:200@pbx.example.org", "sales"),
        ("sip:300@pbx.example.org", "sip:+49171234@pbx.example.org", "vip"),
        ("sip:400@pbx.example.org", "sip:+49171234@pbx.example.org", ""),
        ("sip:400@pbx.example.org", "sip:bob@branch.example.net", "night"),
        ("sip:400@pbx.example.org", "sip:200@pbx.example.org", ""),
    ],
)
def test_the_first_agent_that_fits_answers(called: str, caller: str, agent: str) -> None:
    assert agent_for(AGENTS, Identity(caller, called=(called,)), SERVER) == agent


def test_a_diverted_call_is_for_whom_it_was_first() -> None:
    headers = {
        "to": "<sip:handset@pbx.example.org>",
        "request-uri": "sip:handset@192.0.2.9:5060",
        "diversion": '"Sales" <sip:300@pbx.example.org>;reason=no-answer',
    }
    known = identity("sip:200@pbx.example.org", "Bob", headers, trusted=False)
    assert known.diverted_by == "sip:300@pbx.example.org"
    assert agent_for(AGENTS, known, SERVER) == "sales"
    assert "diverted by 300" in known.told()


def test_an_asserted_identity_counts_from_trusted_peers_only() -> None:
    headers = {"p-asserted-identity": '"Real \\"B\\" Bob" <sip:+4989123@pbx.example.org;user=phone>'}
    claimed = identity("sip:anonymous@anonymous.invalid", "Anonymous", headers, trusted=False)
    assert claimed.peer == "sip:anonymous@anonymous.invalid"
    known = identity("sip:anonymous@anonymous.invalid", "Anonymous", headers, trusted=True)
    assert (known.peer, known.name) == ("sip:+4989123@pbx.example.org;user=phone", 'Real "B" Bob')
    assert known.told() == 'The caller is Real "B" Bob (+4989123).'


@pytest.mark.parametrize(
    ("headers", "at_once"),
    [
        ({"answer-mode": "Auto"}, True),
        ({"answer-mode": "Auto;require"}, True),
        ({"answer-mode": "Manual"}, False),
        ({"priv-answer-mode": "auto"}, True),
        ({"call-info": "<sip:pbx>;answer-after=0"}, True),
        ({"call-info": "<http://example.org/photo.jpg>;purpose=icon"}, False),
        ({"call-info": "<sip:pbx>;answer-after=60"}, False),
        ({"alert-info": "<http://127.0.0.1/Bellcore-dr2>"}, False),
        ({"alert-info": "info=alert-autoanswer;delay=0"}, True),
        ({"alert-info": "Auto Answer"}, True),
        ({"alert-info": "Ring Answer"}, True),
        ({"alert-info": "<http://x>;info=RingAnswer"}, True),
        ({"alert-info": "intercom=true"}, True),
        ({}, False),
    ],
)
def test_who_asks_to_be_answered_at_once(headers: dict[str, str], at_once: bool) -> None:
    assert asks_to_be_answered(headers) is at_once
