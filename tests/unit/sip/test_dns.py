"""The little DNS: what is asked, what is understood, and what garbage does."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2 import dns
from drivers.sip_pjsua2.dns import Record
from drivers.sip_pjsua2.route import Target, by_weight, services
from tests.rig.dns_stub import found_in

ZONE = [
    Record("example.org", dns.NAPTR, "_sip._udp.example.org", 20, 10, 0, "SIP+D2U"),
    Record("example.org", dns.NAPTR, "_sip._tcp.example.org", 10, 10, 0, "SIP+D2T"),
    Record("_sip._udp.example.org", dns.SRV, "b.example.org", 20, 0, 5062),
    Record("_sip._udp.example.org", dns.SRV, "a.example.org", 10, 0, 5061),
    Record("_sip._udp.plain.example", dns.SRV, "c.example.org", 1, 0, 5063),
    Record("a.example.org", dns.A, "192.0.2.1"),
    Record("a.example.org", dns.AAAA, "2001:db8::1"),
]


def ask(name: str, kind: int) -> list[Record]:
    return dns.records(found_in(ZONE, dns.query(7, name, kind)), 7)


@pytest.mark.parametrize("record", ZONE, ids=lambda record: f"{record.name}-{record.kind}")
def test_every_kind_of_record_is_read_as_it_was_written(record):
    assert record in ask(record.name, record.kind)


def test_a_domain_leads_to_its_servers_by_the_transport_and_best_first():
    assert services("example.org", "udp", ask) == [
        Target("a.example.org", 5061),
        Target("b.example.org", 5062),
    ]
    assert services("example.org", "tcp", ask) == []
    assert services("plain.example", "udp", ask) == [Target("c.example.org", 5063)]
    assert services("nobody.example", "udp", ask) == []


def test_among_equals_the_lot_follows_the_weight():
    heavy = Record("s", dns.SRV, "heavy", 1, 90)
    light = Record("s", dns.SRV, "light", 1, 10)
    worse = Record("s", dns.SRV, "worse", 2, 99)
    order = [record.target for record in by_weight([worse, light, heavy], lambda: 0.5)]
    assert order == ["heavy", "light", "worse"]
    assert next(record.target for record in by_weight([light, heavy], lambda: 0.05)) == "light"
    assert len(by_weight([Record("s", dns.SRV, "zero", 1, 0)], lambda: 0.0)) == 1


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".org"])
def test_what_is_no_name_is_not_asked_for(name):
    with pytest.raises(dns.Malformed):
        dns.query(1, name, dns.A)
    assert dns.ask([("127.0.0.1", 9)], name, dns.A) == []


@given(st.binary(max_size=300))
def test_garbage_is_malformed_or_empty(message):
    with contextlib.suppress(dns.Malformed):
        dns.records(message, 7)


def test_names_that_point_at_themselves_end():
    message = struct.pack("!HHHHHH", 7, 0x8000, 0, 1, 0, 0) + b"\xc0\x0c" + bytes(10)
    with pytest.raises(dns.Malformed):
        dns.records(message, 7)


def test_an_answer_to_another_question_is_none():
    with pytest.raises(dns.Malformed):
        dns.records(found_in(ZONE, dns.query(8, "a.example.org", dns.A)), 7)
