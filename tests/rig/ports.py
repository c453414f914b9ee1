"""Ports for a test's programs that no other test run takes, although they are bound only later.

A process owns a block of ports for as long as it lives. Its claim is a name in the kernel's abstract namespace, which
is as wide as the ports are, and which ends with the process however that ends. The blocks lie below the range from
which the kernel gives out ports by itself.
"""

import functools
import os
import socket

_FIRST = 10_000
_SIZE = 500
_BLOCKS = 44


class _Block:
    """`ports` are this process's alone; they are given out in order, round and round."""

    def __init__(self, claim: socket.socket, number: int) -> None:
        self._claim = claim
        self._ports = range(_FIRST + number * _SIZE, _FIRST + (number + 1) * _SIZE)
        self._due = self._ports.start

    def take(self, size: int) -> range:
        """The next `size` in a row, from an even one on."""
        first = self._due if self._due + size <= self._ports.stop else self._ports.start
        self._due = first + size + size % 2
        return range(first, first + size)


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP."""
    return free_range(1)


def free_range(size: int) -> int:
    """The first, an even one, of `size` ports in a row that are free."""
    assert size <= _SIZE // 4, "a test takes several"
    for _ in range(_SIZE):
        ports = _own().take(size)
        if all(_is_free(port) for port in ports):
            return ports.start
    raise AssertionError("no free port")


@functools.cache
def _own() -> _Block:
    for offset in range(_BLOCKS):
        number = (os.getpid() + offset) % _BLOCKS
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0handset-test-ports-{number}")
        except OSError:
            claim.close()
            continue
        return _Block(claim, number)
    raise AssertionError(f"{_BLOCKS} test runs at once: no ports are left")


def _is_free(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        try:
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
