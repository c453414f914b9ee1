"""Who may ask for the account's password."""

import ipaddress

import pytest

from drivers.sip_pjsua2.challenge import is_strange

SERVER = "192.0.2.1"


def asked(code: int = 401, method: str = "INVITE", line: str = "CSeq: 7 {}") -> bytes:
    head = (f"SIP/2.0 {code} Because", "Call-ID: 12ab", line.format(method))
    return "\r\n".join((*head, "", "CSeq: 1 REGISTER")).encode()


def strange(response: bytes, source: str, known: set[str] | None) -> bool:
    def servers(call_id: str) -> set[str] | None:
        assert call_id == "12ab"
        return known

    return is_strange(response, ipaddress.ip_address(source), servers)


@pytest.mark.parametrize("code", [401, 407])
@pytest.mark.parametrize("method", ["INVITE", "BYE", "REFER"])
def test_a_host_that_is_no_server_of_the_account_may_not(code: int, method: str) -> None:
    assert strange(asked(code, method), "198.51.100.7", {SERVER})
    assert strange(asked(code, method), "198.51.100.7", set())


@pytest.mark.parametrize("source", [SERVER, f"::ffff:{SERVER}"])
def test_the_accounts_server_may(source: str) -> None:
    assert not strange(asked(), source, {SERVER})


def test_a_server_of_which_only_the_name_is_known_may_and_so_may_every_registrar() -> None:
    assert not strange(asked(), "198.51.100.7", None)
    assert not strange(asked(method="REGISTER"), "198.51.100.7", {SERVER})


@pytest.mark.parametrize("line", ["", "CSeq: {0}", "CSeq : 1\tinvite REGISTER"])
def test_one_that_does_not_say_what_it_answers_is_strange_whatever_its_body_says(line: str) -> None:
    assert strange(asked(line=line), "198.51.100.7", {SERVER})


@pytest.mark.parametrize("code", [100, 200, 402, 403, 486, 4010])
def test_other_answers_ask_for_nothing(code: int) -> None:
    assert not strange(asked(code), "198.51.100.7", {SERVER})
