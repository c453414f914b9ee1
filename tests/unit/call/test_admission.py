"""Who may call."""

import pytest

from appliance.call.admission import Refusal, admit, host_of


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
