"""Who may call."""

import pytest

from appliance.call.admission import Pace, Refusal, admit, host_of, is_denied


def ask(source: str, *, calls: int = 0, server: str = "", allow: tuple[str, ...] = ()) -> Refusal | None:
    return admit(
        source,
        calls=calls,
        max_calls=2,
        server=server,
        server_addresses={"192.0.2.1"} if server else set(),
        allow=allow,
    )


@pytest.mark.parametrize(
    ("source", "server", "allow"),
    [
        ("127.0.0.1:5070", "", ()),
        ("[::1]:5070", "", ()),
        ("192.0.2.1:5060", "pbx", ()),
        ("192.0.2.1:40000", "pbx", ()),
        ("10.1.2.3:5060", "", ("10.0.0.0/8",)),
        ("[::ffff:127.0.0.1]:5060", "", ()),
    ],
)
def test_these_may_call(source: str, server: str, allow: tuple[str, ...]) -> None:
    assert ask(source, server=server, allow=allow) is None


@pytest.mark.parametrize(
    ("source", "server", "allow"),
    [
        ("127.0.0.1:5070", "pbx", ()),
        ("192.0.2.9:5060", "pbx", ()),
        ("192.0.2.9:5060", "", ()),
        ("11.1.2.3:5060", "", ("10.0.0.0/8",)),
        ("nonsense", "", ("0.0.0.0/0",)),
    ],
)
def test_these_are_refused_with_403(source: str, server: str, allow: tuple[str, ...]) -> None:
    refusal = ask(source, server=server, allow=allow)
    assert refusal is not None
    assert refusal.code == 403


def test_a_call_too_many_is_refused_with_486() -> None:
    assert ask("127.0.0.1:1", calls=1) is None
    refusal = ask("127.0.0.1:1", calls=2)
    assert refusal is not None
    assert refusal.code == 486


def test_a_stranger_learns_nothing_of_how_busy_we_are() -> None:
    refusal = ask("203.0.113.5:1", calls=2)
    assert refusal is not None
    assert refusal.code == 403


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("a.b:5060", "a.b"),
        ("a.b", "a.b"),
        ("[2001:db8::1]:5060", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_host_of_an_address(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    ("source", "peer", "deny", "callers", "denied"),
    [
        ("10.0.0.9:5060", "sip:201@pbx", (), ("*",), False),
        ("10.0.0.9:5060", "sip:201@pbx", ("10.0.0.9",), ("*",), True),
        ("10.0.0.9:5060", "sip:201@pbx", ("10.0.0.0/8",), ("*",), True),
        ("10.0.0.9:5060", "sip:+44900123@pbx", ("+44900*",), ("*",), True),
        ("10.0.0.9:5060", "sip:+44207123@pbx", ("+44900*",), ("*",), False),
        ("10.0.0.9:5060", "sip:201@pbx", (), ("2xx",), False),
        ("10.0.0.9:5060", "sip:301@pbx", (), ("2xx", "+49*"), True),
        ("10.0.0.9:5060", "sip:201@pbx", ("201",), ("2xx",), True),
        ("10.0.0.9:5060", "sip:10@pbx", ("10",), ("*",), True),
        ("nonsense", "sip:201@pbx", (), ("*",), True),
    ],
)
def test_the_owners_lists_name_addresses_networks_and_callers(
    source: str, peer: str, deny: tuple[str, ...], callers: tuple[str, ...], denied: bool
) -> None:
    assert is_denied(source, peer, server="pbx", deny=deny, callers=callers) is denied


def test_a_caller_may_call_so_often_in_any_minute_and_others_are_not_held_back_by_it() -> None:
    pace = Pace(3)
    assert [pace.allows("ann", at) for at in (0, 10, 20, 30)] == [True, True, True, False]
    assert pace.allows("bob", 30)
    assert pace.allows("ann", 60)
    assert not pace.allows("ann", 61)


def test_no_limit_is_no_limit_and_callers_without_number_do_not_fill_the_memory() -> None:
    assert all(Pace(0).allows("ann", 0) for _ in range(1000))
    pace = Pace(1)
    for number in range(5000):
        assert pace.allows(str(number), 0)
    assert not pace.allows("4999", 0)
    assert pace.allows("0", 0), "the oldest is forgotten"
