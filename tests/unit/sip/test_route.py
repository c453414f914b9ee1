"""Which address is ours, and who knows a name."""

import time

import pytest

from drivers.sip_pjsua2.route import (
    Lookup,
    Target,
    known_here_only,
    local_address,
    name_servers,
    outside,
)


def test_a_server_on_this_machine_sees_loopback():
    assert local_address("127.0.0.1") == "127.0.0.1"
    assert local_address("localhost") == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("pbx", True),
        ("pbx.local", True),
        ("192.0.2.7", False),
        ("::1", False),
        ("sip.example.org", False),
        ("named.here", True),
    ],
)
def test_names_that_only_this_machine_knows_are_told_from_others(tmp_path, host, here):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.0.0.1 named.here other # sip.example.org\n\n")
    assert known_here_only(host, hosts) is here


def test_name_servers_are_read_and_bounded(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 9.9.9.9\nnameserver 10.0.0.1\nnameserver fe80::1\nsearch lan\n"
        + "nameserver 10.0.0.2\n" * 5
    )
    assert name_servers(path) == ["10.0.0.1", "10.0.0.2", "10.0.0.2"]
    assert name_servers(tmp_path / "missing") == []


def test_a_lookup_answers_without_making_anyone_wait():
    lookup = Lookup(["localhost:5070"], "udp")
    deadline = time.monotonic() + 5
    while lookup.targets is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lookup.targets is not None
    assert lookup.targets[0] == Target("127.0.0.1", 5070)


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ([], ""),
        (["127.0.0.1", "::1", "127.0.0.0/8"], ""),
        (["127.0.0.1", "192.168.1.20"], "192.168.1.20"),
        (["192.168.1.0/24"], "192.168.1.1"),
        (["192.168.1.9/24"], "192.168.1.1"),
        (["fd00::/8"], "fd00::1"),
        (["0.0.0.0/0"], "192.0.2.1"),
    ],
)
def test_somebody_outside_is_found_among_those_who_may_call(networks, address):
    assert outside(networks) == address
